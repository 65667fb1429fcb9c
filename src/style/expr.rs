//! Arithmetic over bands: `(b4 - b3) / (b4 + b3)`.

use crate::error::{Error, Result};

/// Characters that an expression may have.
const MAX_CHARS: usize = 1024;
/// Parentheses and signs that may be open at once.
const MAX_DEPTH: usize = 32;

/// One step of a calculation with a stack.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Op {
    /// Puts an input there: in a parsed expression the band's number from 1, in a plan the input's place.
    Input(u32),
    Number(f64),
    Unary(Unary),
    Binary(Binary),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Unary {
    Negate = 0,
    Abs = 1,
    Sqrt = 2,
    Log = 3,
    Log10 = 4,
    Exp = 5,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Binary {
    Add = 0,
    Subtract = 1,
    Multiply = 2,
    Divide = 3,
    Power = 4,
    Min = 5,
    Max = 6,
}

impl Unary {
    #[inline]
    fn of(self, x: f64) -> f64 {
        match self {
            Self::Negate => -x,
            Self::Abs => x.abs(),
            Self::Sqrt => x.sqrt(),
            Self::Log => x.ln(),
            Self::Log10 => x.log10(),
            Self::Exp => x.exp(),
        }
    }
}

impl Binary {
    #[inline]
    fn of(self, a: f64, b: f64) -> f64 {
        match self {
            Self::Add => a + b,
            Self::Subtract => a - b,
            Self::Multiply => a * b,
            Self::Divide => a / b,
            Self::Power => a.powf(b),
            Self::Min if a.is_nan() || b.is_nan() => f64::NAN,
            Self::Max if a.is_nan() || b.is_nan() => f64::NAN,
            Self::Min => a.min(b),
            Self::Max => a.max(b),
        }
    }
}

/// Parses an expression of bands `b1`, `b2`, …, numbers, `+ - * / ^`, parentheses, and the functions `abs`, `sqrt`,
/// `log`, `log10`, `exp`, `min`, `max`. `^` binds tightest and to the right, then the sign.
pub(super) fn parse(text: &str) -> Result<Vec<Op>> {
    if text.len() > MAX_CHARS {
        return Err(Error::invalid(format!("{} characters; an expression may have {MAX_CHARS}", text.len())));
    }
    let mut parser = Parser { text, at: 0, depth: 0, ops: Vec::new() };
    parser.sum()?;
    match parser.peek() {
        None => Ok(parser.ops),
        Some(_) => Err(parser.unexpected("an operator")),
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    ops: Vec<Op>,
}

impl Parser<'_> {
    fn peek(&mut self) -> Option<char> {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
        self.text[self.at..].chars().next()
    }

    fn take(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += if found { wanted.len_utf8() } else { 0 };
        found
    }

    fn expect(&mut self, wanted: char) -> Result<()> {
        if self.take(wanted) { Ok(()) } else { Err(self.unexpected(&format!("`{wanted}`"))) }
    }

    fn unexpected(&mut self, wanted: &str) -> Error {
        let found = self.peek().map_or_else(|| "its end".to_owned(), |c| format!("`{c}`"));
        let place = self.text[..self.at].chars().count() + 1;
        Error::invalid(format!("\"{}\" has {found} at character {place} where {wanted} belongs", self.text))
    }

    /// Runs `inner` one level further down.
    fn deeper(&mut self, inner: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Error::invalid(format!("\"{}\" is nested more than {MAX_DEPTH} deep", self.text)));
        }
        inner(self)?;
        self.depth -= 1;
        Ok(())
    }

    fn sum(&mut self) -> Result<()> {
        self.product()?;
        loop {
            let op = if self.take('+') {
                Binary::Add
            } else if self.take('-') {
                Binary::Subtract
            } else {
                return Ok(());
            };
            self.product()?;
            self.ops.push(Op::Binary(op));
        }
    }

    fn product(&mut self) -> Result<()> {
        self.signed()?;
        loop {
            let op = if self.take('*') {
                Binary::Multiply
            } else if self.take('/') {
                Binary::Divide
            } else {
                return Ok(());
            };
            self.signed()?;
            self.ops.push(Op::Binary(op));
        }
    }

    fn signed(&mut self) -> Result<()> {
        if self.take('-') {
            self.deeper(Self::signed)?;
            self.ops.push(Op::Unary(Unary::Negate));
            return Ok(());
        }
        self.atom()?;
        if self.take('^') {
            self.deeper(Self::signed)?;
            self.ops.push(Op::Binary(Binary::Power));
        }
        Ok(())
    }

    fn atom(&mut self) -> Result<()> {
        if self.take('(') {
            self.deeper(Self::sum)?;
            return self.expect(')');
        }
        match self.peek() {
            Some(c) if c.is_ascii_digit() || c == '.' => self.number(),
            Some(c) if c.is_ascii_alphabetic() => self.name(),
            _ => Err(self.unexpected("a band, a number or a parenthesis")),
        }
    }

    fn number(&mut self) -> Result<()> {
        let rest = &self.text[self.at..];
        let mut previous = ' ';
        let end = rest.find(|c: char| {
            let exponent_sign = matches!(c, '+' | '-') && matches!(previous, 'e' | 'E');
            previous = c;
            !(c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E') || exponent_sign)
        });
        let word = &rest[..end.unwrap_or(rest.len())];
        let number: f64 = word.parse().map_err(|_| Error::invalid(format!("\"{word}\" is no number")))?;
        if !number.is_finite() {
            return Err(Error::invalid(format!("\"{word}\" is too large")));
        }
        self.at += word.len();
        self.ops.push(Op::Number(number));
        Ok(())
    }

    fn name(&mut self) -> Result<()> {
        let rest = &self.text[self.at..];
        let word = &rest[..rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len())];
        let op = match word {
            "abs" => Op::Unary(Unary::Abs),
            "sqrt" => Op::Unary(Unary::Sqrt),
            "log" => Op::Unary(Unary::Log),
            "log10" => Op::Unary(Unary::Log10),
            "exp" => Op::Unary(Unary::Exp),
            "min" => Op::Binary(Binary::Min),
            "max" => Op::Binary(Binary::Max),
            _ => match word.strip_prefix(['b', 'B']).and_then(|number| number.parse().ok()) {
                Some(band) if band > 0 => Op::Input(band),
                _ => return Err(Error::invalid(format!("\"{word}\" is neither a band such as b1 nor a function"))),
            },
        };
        self.at += word.len();
        if let Op::Input(_) = op {
            self.ops.push(op);
            return Ok(());
        }
        self.expect('(')?;
        self.deeper(Self::sum)?;
        if let Op::Binary(_) = op {
            self.expect(',')?;
            self.deeper(Self::sum)?;
        }
        self.expect(')')?;
        self.ops.push(op);
        Ok(())
    }
}

/// The values of a calculation for `n` pixels at once. `input` puts those of an input in place of what a buffer holds;
/// `stack` is memory for it all, and its first buffer the result.
pub(super) fn values(ops: &[Op], n: usize, stack: &mut Vec<Vec<f64>>, mut input: impl FnMut(u32, &mut Vec<f64>)) {
    let mut depth = 0;
    for op in ops {
        match op {
            Op::Input(_) | Op::Number(_) => {
                if stack.len() == depth {
                    stack.push(Vec::new());
                }
                let top = &mut stack[depth];
                match op {
                    Op::Input(place) => input(*place, top),
                    Op::Number(number) => {
                        top.clear();
                        top.resize(n, *number);
                    }
                    Op::Unary(_) | Op::Binary(_) => {}
                }
                depth += 1;
            }
            Op::Unary(unary) => {
                if let Some(top) = stack[..depth].last_mut() {
                    unary.of_all(top);
                }
            }
            Op::Binary(binary) => {
                if let [.., a, b] = &mut stack[..depth] {
                    binary.of_all(a, b);
                    depth -= 1;
                }
            }
        }
    }
}

impl Unary {
    fn of_all(self, values: &mut [f64]) {
        // A loop for each, which is then made of vectors where there are any.
        match self {
            Self::Negate => values.iter_mut().for_each(|x| *x = Self::Negate.of(*x)),
            Self::Abs => values.iter_mut().for_each(|x| *x = Self::Abs.of(*x)),
            Self::Sqrt => values.iter_mut().for_each(|x| *x = Self::Sqrt.of(*x)),
            Self::Log | Self::Log10 | Self::Exp => values.iter_mut().for_each(|x| *x = self.of(*x)),
        }
    }
}

impl Binary {
    /// Puts the results into `a`.
    fn of_all(self, a: &mut [f64], b: &[f64]) {
        let pairs = a.iter_mut().zip(b);
        match self {
            Self::Add => pairs.for_each(|(a, b)| *a = Self::Add.of(*a, *b)),
            Self::Subtract => pairs.for_each(|(a, b)| *a = Self::Subtract.of(*a, *b)),
            Self::Multiply => pairs.for_each(|(a, b)| *a = Self::Multiply.of(*a, *b)),
            Self::Divide => pairs.for_each(|(a, b)| *a = Self::Divide.of(*a, *b)),
            Self::Min => pairs.for_each(|(a, b)| *a = Self::Min.of(*a, *b)),
            Self::Max => pairs.for_each(|(a, b)| *a = Self::Max.of(*a, *b)),
            Self::Power => pairs.for_each(|(a, b)| *a = self.of(*a, *b)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value of a calculation, pixel by pixel: the plain twin of [`values`].
    fn value(ops: &[Op], input: impl Fn(u32) -> f64) -> f64 {
        let mut stack = Vec::new();
        for op in ops {
            let result = match op {
                Op::Input(place) => input(*place),
                Op::Number(number) => *number,
                Op::Unary(unary) => unary.of(stack.pop().unwrap()),
                Op::Binary(binary) => {
                    let (b, a) = (stack.pop().unwrap(), stack.pop().unwrap());
                    binary.of(a, b)
                }
            };
            stack.push(result);
        }
        assert_eq!(stack.len(), 1);
        stack[0]
    }

    #[test]
    fn many_pixels_at_once_have_the_values_of_each() {
        let bands = |band: u32, i: usize| f64::from((i as u32 * 37 + band * 91) % 23) / 3.0 - 2.0;
        let mut stack = Vec::new();
        for text in [
            "b1",
            "3",
            "(b4-b3)/(b4+b3)",
            "b1 + b2 * b3 - 2 ^ -b1",
            "max(b1, min(b4, b3)) * sqrt(b2) + abs(-b1)",
            "log(b1) + log10(b2) - exp(b3 / 9)",
            "min(0/0, b1) + (b2 - (b3 - (b4 - b1)))",
        ] {
            let ops = parse(text).unwrap();
            for n in [1, 7, 1000, 3] {
                values(&ops, n, &mut stack, |band, out| {
                    out.clear();
                    out.extend((0..n).map(|i| bands(band, i)));
                });
                let wanted: Vec<u64> = (0..n).map(|i| value(&ops, |band| bands(band, i)).to_bits()).collect();
                let is_same = |(got, wanted): (&f64, &u64)| {
                    got.to_bits() == *wanted || got.is_nan() && f64::from_bits(*wanted).is_nan()
                };
                assert!(stack[0].len() == n && stack[0].iter().zip(&wanted).all(is_same), "{text}, {n}");
            }
        }
    }

    #[test]
    fn expressions_mean_what_they_mean_on_paper() {
        let bands = [1.0, 2.0, 3.0, 5.0];
        for (text, wanted) in [
            ("(b4-b3)/(b4+b3)", 0.25),
            ("b1 + b2 * b3", 7.0),
            ("b4 - b2 - b1", 2.0),
            ("2^3^2", 512.0),
            ("-2^2", -4.0),
            ("2^-1", 0.5),
            ("--b2", 2.0),
            ("1e1 + 2.5E-1", 10.25),
            ("max(b1, min(b4, b3)) * sqrt(4) + abs(-1)", 7.0),
            ("log10(100) + log(exp(2))", 4.0),
            ("B4/.5", 10.0),
        ] {
            let ops = parse(text).unwrap();
            let got = value(&ops, |band| bands[band as usize - 1]);
            assert!((got - wanted).abs() < 1e-12, "{text}: {got}");
        }
        assert!(value(&parse("max(b1, 0/0)").unwrap(), |_| 1.0).is_nan());
    }

    #[test]
    fn what_is_no_expression_is_refused_with_its_place() {
        for (text, said) in [
            ("", "its end at character 1"),
            ("b1 +", "its end at character 5"),
            ("(b1", "`)`"),
            ("b1 b2", "`b` at character 4"),
            ("b0", "\"b0\" is neither"),
            ("foo(b1)", "\"foo\""),
            ("min(b1)", "`,`"),
            ("1.2.3", "\"1.2.3\" is no number"),
            ("1e999", "too large"),
            ("é", "`é`"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.message().contains(said), "{text}: {error}");
        }
        assert!(parse(&"(".repeat(1000)).unwrap_err().message().contains("nested"));
        assert!(parse(&"-".repeat(1000)).unwrap_err().message().contains("nested"));
        assert!(parse(&"1+".repeat(1000)).unwrap_err().message().contains("characters"));
    }
}
