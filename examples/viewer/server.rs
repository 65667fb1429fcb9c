//! HTTP on the loopback interface, with bounds on everything that a client can make it hold.
//!
//! One thread reads and writes; a few others find the answers. What takes longer is waited for here, and dropped when its
//! client goes away: whoever makes it then knows that nobody wants it.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::TcpListener;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, HeaderValue, IF_NONE_MATCH};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::message::{Answer, Ask, Reply};

const MAX_CONNECTIONS: usize = 256;
/// Bytes of a request line and headers together, from which on no more are read; a style in the query may be long.
const MAX_HEAD: usize = 64 << 10;
const MAX_BODY: usize = 64 << 10;
/// Threads that find answers. They make no tiles, but may wait for what a style has to know of a raster.
const N_WORKERS: usize = 16;
/// To send a request, or between two of them.
const PATIENCE: Duration = Duration::from_secs(30);
/// From one tidying to the next.
const TIDY_EVERY: Duration = Duration::from_secs(5);
/// To finish what was begun when the server stops.
const LAST_ORDERS: Duration = Duration::from_secs(5);

/// What is served.
pub(crate) struct Site {
    /// Finds an answer; called by several threads at once.
    pub(crate) answer: Box<dyn Fn(&Ask) -> Answer + Send + Sync>,
    /// Called now and then, for what is given up when nobody asks for it any more.
    pub(crate) tidy: Box<dyn Fn() + Send + Sync>,
    /// Pages of this origin may read it, beside the server's own.
    pub(crate) allowed_origin: Option<HeaderValue>,
}

/// Serves until the process is asked to stop, by Ctrl-C or SIGTERM.
pub(crate) fn run(listener: TcpListener, site: Site) -> io::Result<()> {
    run_until(listener, site, N_WORKERS, async { stop_asked()?.await })
}

/// Serves until `stop` is there, or fails.
fn run_until(
    listener: TcpListener,
    site: Site,
    n_workers: usize,
    stop: impl Future<Output = io::Result<()>>,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(n_workers).build()?;
    let served = runtime.block_on(serve(listener, Arc::new(site), stop));
    runtime.shutdown_timeout(LAST_ORDERS);
    served
}

async fn serve(listener: TcpListener, site: Arc<Site>, stop: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let graceful = GracefulShutdown::new();
    let tidied = Arc::clone(&site);
    let tidying = tokio::spawn(async move {
        loop {
            sleep(TIDY_EVERY).await;
            let site = Arc::clone(&tidied);
            let _ = tokio::task::spawn_blocking(move || (site.tidy)()).await;
        }
    });
    let stopped = {
        let (mut stop, mut accepting) = (pin!(stop), pin!(accept(listener, site, &graceful)));
        poll_fn(|cx| match stop.as_mut().poll(cx) {
            Poll::Pending => accepting.as_mut().poll(cx).map(|()| Ok(())),
            stopped => stopped,
        })
        .await
    };
    tidying.abort();
    // Connections that wait are closed, answers under way are finished.
    let _ = timeout(LAST_ORDERS, graceful.shutdown()).await;
    stopped
}

async fn accept(listener: tokio::net::TcpListener, site: Arc<Site>, graceful: &GracefulShutdown) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    while let Ok(place) = Arc::clone(&room).acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else {
            // No file descriptor is free, or the client went: what there is can still be served.
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let site = Arc::clone(&site);
        let service = service_fn(move |request| respond(Arc::clone(&site), request));
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(PATIENCE).max_buf_size(MAX_HEAD);
        let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            // A client that breaks off is none of our failures.
            let _ = connection.await;
            drop(place);
        });
    }
}

#[cfg(unix)]
fn stop_asked() -> io::Result<impl Future<Output = io::Result<()>>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        poll_fn(|cx| {
            // Both are asked, so that either wakes.
            let (first, second) = (interrupt.poll_recv(cx), terminate.poll_recv(cx));
            if first.is_ready() { first } else { second }
        })
        .await;
        Ok(())
    })
}

#[cfg(not(unix))]
fn stop_asked() -> io::Result<impl Future<Output = io::Result<()>>> {
    Ok(tokio::signal::ctrl_c())
}

/// An answer that is looked for, given up when nobody waits for it any more.
struct Job<T>(JoinHandle<T>);

impl<T> Drop for Job<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Finds an answer that takes work, apart from the thread that reads and writes.
pub(crate) async fn elsewhere(find: impl FnOnce() -> Reply + Send + 'static) -> Reply {
    let mut job = Job(tokio::task::spawn_blocking(find));
    (&mut job.0).await.unwrap_or_else(|_| given_up())
}

fn given_up() -> Reply {
    Reply::refused(StatusCode::INTERNAL_SERVER_ERROR, "internal error: the answer was given up")
}

async fn respond(site: Arc<Site>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let is_head = request.method() == Method::HEAD;
    let allowed_origin = site.allowed_origin.clone();
    let reply = match asked(request).await {
        Ok(ask) => {
            let mut job = Job(tokio::task::spawn_blocking(move || (site.answer)(&ask)));
            match (&mut job.0).await {
                Ok(Answer::Now(reply)) => reply,
                Ok(Answer::Later(reply)) => reply.await,
                Err(_) => given_up(),
            }
        }
        Err(refusal) => refusal,
    };
    let length = reply.body.len();
    let mut response = Response::new(Full::new(reply.body));
    *response.status_mut() = reply.status;
    let headers = response.headers_mut();
    for (name, value) in &reply.headers {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    if let Some(origin) = allowed_origin {
        headers.insert("access-control-allow-origin", origin);
    }
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    if is_head {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        *response.body_mut() = Full::default();
    }
    Ok(response)
}

/// The request as the routes take it.
async fn asked(request: Request<Incoming>) -> Result<Ask, Reply> {
    let refused = |status: StatusCode, message: &str| Reply::refused(status, message);
    let header = |name: HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok());
    let host = header(HOST).unwrap_or_default().to_owned();
    // A page from elsewhere whose name was made to point here must not read local rasters.
    if !is_loopback(&host) {
        return Err(refused(StatusCode::MISDIRECTED_REQUEST, "this server goes by localhost and 127.0.0.1 only"));
    }
    // Nor may a form on such a page change anything: browsers ask before they send JSON elsewhere, and get no leave.
    if request.method() == Method::POST && header(CONTENT_TYPE) != Some("application/json") {
        return Err(refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body has to be application/json"));
    }
    let has = header(IF_NONE_MATCH).map(str::to_owned);
    let view = header(HeaderName::from_static("x-view")).map(str::to_owned);
    let ask = Ask::new(request.method().as_str(), request.uri().path(), request.uri().query());
    let ask = ask.ok_or_else(|| refused(StatusCode::BAD_REQUEST, "the URL is no text in UTF-8"))?;
    let body = match timeout(PATIENCE, Limited::new(request.into_body(), MAX_BODY).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) => return Err(refused(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long, or broke off")),
        Err(_) => return Err(refused(StatusCode::REQUEST_TIMEOUT, "the body took too long")),
    };
    Ok(Ask { host, has, view, body, ..ask })
}

/// Whether the value of the header Host, which may have a port, is a name of this machine for itself.
fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    ["localhost", "127.0.0.1", "[::1]"].iter().any(|own| name.eq_ignore_ascii_case(own))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpStream};
    use std::sync::Mutex;
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    #[test]
    fn only_names_of_the_machine_for_itself_are_served() {
        assert!(
            ["localhost", "LOCALHOST:80", "127.0.0.1:8080", "[::1]:1", "[::1]"].iter().all(|host| is_loopback(host))
        );
        let others =
            ["", "evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.nip.io", "localhost:x"];
        assert!(others.iter().all(|host| !is_loopback(host)));
    }

    fn ask(address: SocketAddr, host: &str, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(address).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }

    fn status(mut stream: TcpStream) -> String {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).unwrap().to_owned()
    }

    struct Kept(Sender<String>);

    impl Drop for Kept {
        fn drop(&mut self) {
            let _ = self.0.send("dropped".to_owned());
        }
    }

    #[test]
    fn an_answer_that_takes_work_in_the_end_holds_up_nobody_else() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (starts, started) = channel();
        let (go, gate) = channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        let answer = move |_: &Ask| {
            let (starts, gate) = (starts.clone(), Arc::clone(&gate));
            Answer::Later(Box::pin(elsewhere(move || {
                starts.send(()).unwrap();
                gate.lock().unwrap().recv().unwrap();
                Reply::new("text/plain", "")
            })))
        };
        let site = Site { answer: Box::new(answer), tidy: Box::new(|| ()), allowed_origin: None };
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let until = async { stopped.await.map_err(io::Error::other) };
        let server = std::thread::spawn(move || run_until(listener, site, 1, until));
        let slow = ask(address, "localhost", "/");
        started.recv().unwrap();
        assert_eq!(status(ask(address, "elsewhere", "/")), "421");
        go.send(()).unwrap();
        assert_eq!(status(slow), "200");
        stop.send(()).unwrap();
        server.join().unwrap().unwrap();
    }

    #[test]
    fn what_nobody_waits_for_any_more_is_not_made() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (starts, started) = channel();
        let (go, gate) = channel::<()>();
        let gate = Mutex::new(gate);
        let made = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&made);
        // Told when an answer that takes longer is dropped.
        let (drops, dropped) = channel::<String>();
        let answer = move |ask: &Ask| {
            if ask.path[0] == "later" {
                let kept = Kept(drops.clone());
                starts.send(()).unwrap();
                return Answer::Later(Box::pin(async move {
                    let _kept = kept;
                    std::future::pending().await
                }));
            }
            seen.lock().unwrap().push(ask.path[0].clone());
            if ask.path[0] == "slow" {
                starts.send(()).unwrap();
                gate.lock().unwrap().recv().unwrap();
            }
            Reply::new("text/plain", "").into()
        };
        let site = Site { answer: Box::new(answer), tidy: Box::new(|| ()), allowed_origin: None };
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let until = async { stopped.await.map_err(io::Error::other) };
        let server = std::thread::spawn(move || run_until(listener, site, 1, until));

        // What is waited for is dropped as soon as its client goes.
        let later = ask(address, "localhost", "/later");
        started.recv().unwrap();
        assert!(dropped.try_recv().is_err());
        drop(later);
        assert_eq!(dropped.recv().unwrap(), "dropped");

        // The only worker is busy, and others wait for it.
        let slow = ask(address, "localhost", "/slow");
        started.recv().unwrap();
        // Refusals take no worker: an answer says that what came before was taken in.
        let turn = || assert_eq!(status(ask(address, "elsewhere", "/")), "421");
        let gone: Vec<_> = (0..20).map(|_| ask(address, "localhost", "/gone")).collect();
        let stays = ask(address, "localhost", "/stays");
        (0..3).for_each(|_| turn());
        drop(gone);
        (0..3).for_each(|_| turn());
        go.send(()).unwrap();
        assert_eq!((status(slow), status(stays)), ("200".to_owned(), "200".to_owned()));
        stop.send(()).unwrap();
        server.join().unwrap().unwrap();
        assert_eq!(*made.lock().unwrap(), ["slow", "stays"]);
    }
}
