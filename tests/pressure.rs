//! A viewer in a control group of 512 MiB, and budgets of 8 GiB: it lives while memory is watched, and dies if it is not.

#![cfg(target_os = "linux")]

use std::fs;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;
use std::time::Duration;

use tilekeep::{
    BlockId, Dataset, Delivery, Level, OpenOptions, PressureLevel, PressureOptions, PressureStats, PressureWatch,
    ReadContext, Requests, Result, SampleType, SourceInfo, TileRequest, TileSource, Window, WindowRequest,
    process_stats, set_tile_cache_max, set_total_max, tile_cache_stats, total_max,
};

const MIB: u64 = 1 << 20;
const LIMIT: u64 = 512 * MIB;
/// Blocks of a dataset in each direction; 1.4 GiB of them.
const SIDE: u32 = 88;
const BLOCK_BYTES: u64 = 256 * 256 * 3;
const KILLED: i32 = 9;

/// The group that the viewer moves to, or the limit that it is given instead; whether it watches.
const GROUP: &str = "TILEKEEP_TEST_GROUP";
const WATCHES: &str = "TILEKEEP_TEST_WATCHES";

/// Pixels that say where they are.
struct Made(SourceInfo);

fn sample(at: BlockId, i: usize) -> u8 {
    (at.col as usize * 31 + at.row as usize * 17 + i % 251) as u8
}

impl TileSource for Made {
    fn info(&self) -> &SourceInfo {
        &self.0
    }

    fn read_block(&self, at: BlockId, out: &mut [u8], _: &mut ReadContext<'_>) -> Result<()> {
        out.iter_mut().enumerate().for_each(|(i, s)| *s = sample(at, i));
        Ok(())
    }
}

fn dataset() -> Dataset {
    let side = u64::from(SIDE) * 256;
    let info = SourceInfo::new("made", vec![Level::new(side, side, 256, 256).unwrap()], 3, SampleType::U8);
    Dataset::from_source(Made(info), &OpenOptions::default().cache_max_bytes(4 << 30)).unwrap()
}

/// Reads windows of rows of blocks, and looks at their pixels.
fn read_windows(dataset: &Dataset, rows: std::ops::Range<u32>) {
    for (row, col) in rows.flat_map(|row| (0..SIDE).map(move |col| (row, col))) {
        let window = Window::new(u64::from(col) * 256, u64::from(row) * 256, 256, 256);
        let request = WindowRequest::new(0, window);
        let mut pixels = vec![0; dataset.window_bytes(&request).unwrap()];
        dataset.read_window(&request, &mut pixels).unwrap();
        let at = BlockId::from((0, col, row));
        assert!([0, 1000, 190_000].iter().all(|i| pixels[*i] == sample(at, *i)), "{at:?}");
    }
}

/// Asks for the tiles of rows of blocks, a row at a time.
fn request_tiles(requests: &Requests, dataset: &Dataset, rows: std::ops::Range<u32>) {
    for row in rows {
        let asked: Vec<_> = (0..SIDE)
            .map(|col| {
                let request = TileRequest::new(0, col, row).range(0.0, 255.0);
                requests.request_tile(dataset, request, 0, Delivery::handle())
            })
            .collect();
        asked.iter().for_each(|asked| assert_eq!(asked.wait().unwrap().width, 256));
    }
}

/// One of three parts of a trace over two datasets at once.
fn look_around(requests: &Requests, datasets: &[Dataset; 2], part: u32) {
    let rows = SIDE * part / 3..SIDE * (part + 1) / 3;
    thread::scope(|scope| {
        let windows = rows.clone();
        let reader = scope.spawn(|| read_windows(&datasets[0], windows));
        request_tiles(requests, &datasets[1], rows);
        reader.join().unwrap();
    });
}

/// Looks until `is_so`.
fn look_until(watch: &PressureWatch, is_so: impl Fn(&PressureStats) -> bool) -> PressureStats {
    for _ in 0..2000 {
        let seen = watch.check();
        if is_so(&seen) {
            return seen;
        }
        // Nothing grows before time has passed, which nothing tells of.
        thread::park_timeout(Duration::from_millis(5));
    }
    panic!("{:?}", watch.stats());
}

/// Not a test of its own: the viewer.
#[test]
fn looks_at_more_than_there_is_memory_for() {
    let Some(group) = std::env::var_os(GROUP) else { return };
    let mut options = PressureOptions::default().interval(Duration::from_millis(20));
    if group.is_empty() {
        options = options.limit_bytes(LIMIT);
    } else {
        fs::write(Path::new(&group).join("cgroup.procs"), std::process::id().to_string()).unwrap();
    }
    set_total_max(8 << 30);
    set_tile_cache_max(4 << 30);
    let watch = std::env::var_os(WATCHES).map(|_| PressureWatch::new(&options).unwrap());
    let (requests, datasets) = (Requests::new(2).unwrap(), [dataset(), dataset()]);

    look_around(&requests, &datasets, 0);
    let Some(watch) = watch else {
        // Nothing holds it back.
        look_around(&requests, &datasets, 1);
        look_around(&requests, &datasets, 2);
        return;
    };
    let full = watch.check();
    assert!(full.limit_bytes == LIMIT && full.total_max_bytes == 8 << 30, "{full:?}");
    let held = process_stats().used_bytes;
    assert!(held > 256 * MIB, "caches use what there is: {held}, {full:?}");

    // Something else in the process takes 200 MiB, about as fast as somebody looks.
    let mut ballast = memmap2::MmapMut::map_anon(200 << 20).unwrap();
    let mut worst = PressureLevel::None;
    for part in ballast.chunks_mut(4 << 20) {
        part.fill(1);
        // Two looks, or one if the thread of the watch takes the other.
        worst = worst.max(watch.check().level).max(watch.check().level);
    }
    let short = watch.stats();
    assert!(short.shrinks > full.shrinks && short.total_now_bytes + 150 * MIB < full.total_now_bytes, "{short:?}");
    assert!(process_stats().used_bytes <= short.total_now_bytes + 4 * BLOCK_BYTES);
    look_around(&requests, &datasets, 1);

    // What a client asks for meanwhile is kept for later.
    set_total_max(300 * MIB);
    assert!(watch.check().total_now_bytes < 250 * MIB && total_max() == 300 * MIB);
    drop(ballast);
    let back = look_until(&watch, |seen| seen.total_now_bytes == 300 * MIB);
    assert!(back.growths > short.growths + 1, "in steps: {back:?}");
    look_around(&requests, &datasets, 2);
    assert!(process_stats().used_bytes > 256 * MIB);

    let taken = (datasets[0].stats().loads + datasets[1].stats().loads + tile_cache_stats().rendered) * BLOCK_BYTES;
    assert!(taken >= 4 << 30, "{taken}");
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")).unwrap();
    let peak = peak.parse::<u64>().unwrap() / 1024;
    assert!(peak < 512, "{peak} MiB");
    let [before, during, after] = [full, short, back].map(|seen| seen.total_now_bytes / MIB);
    println!(
        "the viewer lives: {} MiB loaded and rendered, {peak} MiB at most; total {before}, {during}, {after} MiB; {} \
         shrinks, {} growths, worst {worst:?}",
        taken / MIB,
        watch.stats().shrinks,
        watch.stats().growths,
    );
}

fn viewer(group: &str, watches: bool) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "looks_at_more_than_there_is_memory_for", "--nocapture"]).env(GROUP, group);
    if watches {
        command.env(WATCHES, "1");
    }
    command.output().unwrap()
}

fn assert_alive(done: &Output) {
    let said = String::from_utf8_lossy(&done.stdout);
    let line = said.lines().find(|line| line.contains("the viewer lives"));
    let failed = || panic!("{}\n{said}{}", done.status, String::from_utf8_lossy(&done.stderr));
    println!("{}", line.filter(|_| done.status.success()).unwrap_or_else(failed));
}

#[test]
fn an_interval_may_be_as_long_as_can_be_said() {
    let options = PressureOptions::default().interval(Duration::MAX);
    let watch = PressureWatch::new(&options).unwrap();
    assert!(watch.check().checks >= 2);
    // Its thread is told to end, however long it would wait.
    drop(watch);
}

/// A control group of 512 MiB without swap, of whatever version there is, which goes when this is dropped.
struct Group(PathBuf);

impl Group {
    /// `None` where nobody may make one, and why.
    fn new(name: &str) -> std::result::Result<Self, String> {
        let name = format!("tilekeep-{name}-{}", std::process::id());
        let mut why = Vec::new();
        for (parent, limit) in [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")]
            .map(|(p, l)| (Path::new(p), l))
        {
            if !parent.join("cgroup.procs").exists() {
                continue;
            }
            // Version 2 limits memory only where the group above says so.
            let _ = fs::write(parent.join("cgroup.subtree_control"), "+memory");
            let made = fs::create_dir(parent.join(&name)).map(|()| Self(parent.join(&name)));
            let limited = made.and_then(|group| {
                fs::write(group.0.join(limit), LIMIT.to_string())?;
                for (file, value) in [("memory.memsw.limit_in_bytes", LIMIT), ("memory.swap.max", 0)] {
                    // Where the system does not count swap there is mostly none.
                    let _ = group.0.join(file).exists().then(|| fs::write(group.0.join(file), value.to_string()));
                }
                Ok(group)
            });
            match limited {
                Ok(group) => return Ok(group),
                Err(error) => why.push(format!("{}: {error}", parent.display())),
            }
        }
        Err(if why.is_empty() { "no control groups are mounted".to_owned() } else { why.join("; ") })
    }

    /// How many of its processes the system ended for want of memory.
    fn kills(&self) -> u64 {
        let text = ["memory.oom_control", "memory.events"].iter().find_map(|n| fs::read_to_string(self.0.join(n)).ok());
        let text = text.unwrap();
        text.lines().find_map(|line| line.strip_prefix("oom_kill ")).unwrap().parse().unwrap()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The system may take a moment to let go of a process that is gone.
        for _ in 0..100 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            thread::park_timeout(Duration::from_millis(10));
        }
    }
}

/// `None` where no group can be made, which is a failure where one can be.
fn group(name: &str) -> Option<Group> {
    let why = match Group::new(name) {
        Ok(group) => return Some(group),
        Err(why) => why,
    };
    assert!(std::env::var_os("TILEKEEP_REQUIRE_GROUPS").is_none(), "no control group of 512 MiB: {why}");
    // Not by a macro: what those print of a test that passes is not shown.
    let told = format!("SKIPPED: no control group of 512 MiB can be made here ({why}); a limit was only said\n");
    let _ = std::io::stderr().write_all(told.as_bytes());
    None
}

#[test]
fn a_viewer_in_a_group_of_512_mib_survives_what_would_take_4_gib() {
    let Some(group) = group("watched") else { return };
    let done = viewer(group.0.to_str().unwrap(), true);
    assert_eq!((done.status.signal(), group.kills()), (None, 0), "{}", String::from_utf8_lossy(&done.stderr));
    assert_alive(&done);
}

#[test]
fn without_a_watch_the_same_viewer_is_killed() {
    let Some(group) = group("unwatched") else { return };
    let done = viewer(group.0.to_str().unwrap(), false);
    assert!(done.status.signal() == Some(KILLED) && group.kills() > 0, "{done:?}, {} killed", group.kills());
}

#[test]
fn a_viewer_that_says_it_may_have_512_mib_takes_no_more() {
    assert_alive(&viewer("", true));
}
