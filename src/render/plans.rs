//! What styles came to, kept for the next tile: resolving a style for every tile would cost more than finding the tile.

use std::fmt::{self, Write};
use std::num::NonZeroUsize;
use std::ops::Deref;
use std::sync::OnceLock;

use lru::LruCache;
use xxhash_rust::xxh3::Xxh3;

use crate::dataset::Dataset;
use crate::error::Result;
use crate::memory::{Charge, Class, Ledger};
use crate::style::{Style, StylePlan};
use crate::sync::{Arc, Mutex};

/// Plans that are kept at most, and the bytes that their tables may come to.
const MAX_PLANS: NonZeroUsize = NonZeroUsize::new(1024).unwrap();
const MAX_BYTES: u64 = 32 << 20;

/// A style in a request for a tile: cheap to clone, and found again without comparing all of it.
///
/// ```
/// use tilekeep::{Style, TileRequest, TileStyle};
///
/// # fn main() -> tilekeep::Result<()> {
/// let style = TileStyle::from(Style::parse(r#"{"palette": "viridis"}"#)?);
/// let requests = (0..4).map(|col| TileRequest::new(0, col, 0).style(style.clone()));
/// assert!(requests.clone().all(|request| request.style.as_ref() == Some(&style)));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq)]
pub struct TileStyle {
    /// Of how it is written, not of what it comes to.
    spelling: u128,
    style: Arc<Style>,
}

impl From<Style> for TileStyle {
    fn from(style: Style) -> Self {
        struct Hashed(Xxh3);

        impl Write for Hashed {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                self.0.update(text.as_bytes());
                Ok(())
            }
        }

        let mut hashed = Hashed(Xxh3::new());
        // What is written there cannot fail.
        let _ = write!(hashed, "{style:?}");
        Self { spelling: hashed.0.digest128(), style: Arc::new(style) }
    }
}

impl TileStyle {
    pub(super) fn spelling(&self) -> u128 {
        self.spelling
    }
}

impl Deref for TileStyle {
    type Target = Style;

    fn deref(&self) -> &Style {
        &self.style
    }
}

impl fmt::Debug for TileStyle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.style.fmt(f)
    }
}

/// What a plan is kept under.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct PlanKey {
    /// The opened dataset, and how often its pixels were said to have changed.
    dataset: (u64, u64),
    frame: u32,
    /// Whether the plan was made for an encoder.
    eight_bits: bool,
    spelling: u128,
}

impl PlanKey {
    fn new(dataset: &Dataset, frame: u32, style: &TileStyle, eight_bits: bool) -> Self {
        Self { dataset: (dataset.number(), dataset.epoch()), frame, eight_bits, spelling: style.spelling }
    }
}

/// The plans of all datasets, the last used first.
pub(super) struct Plans(Mutex<Kept>);

struct Kept {
    plans: LruCache<PlanKey, Arc<StylePlan>>,
    /// What they take, with the tables that they may get.
    charge: Charge,
}

impl Kept {
    fn new(ledger: &Arc<Ledger>) -> Self {
        Self { plans: LruCache::new(MAX_PLANS), charge: ledger.charge(Class::Metadata, 0) }
    }

    /// Keeps a plan; returns those that went for it.
    fn keep(&mut self, key: PlanKey, plan: Arc<StylePlan>) -> Vec<Arc<StylePlan>> {
        let mut bytes = self.charge.bytes() + plan.memory_bytes();
        let mut gone: Vec<_> = self.plans.push(key, plan).map(|(_, plan)| plan).into_iter().collect();
        bytes -= gone.iter().map(|plan| plan.memory_bytes()).sum::<u64>();
        while bytes > MAX_BYTES && self.plans.len() > 1 {
            let Some((_, plan)) = self.plans.pop_lru() else { break };
            bytes -= plan.memory_bytes();
            gone.push(plan);
        }
        self.charge.resize(bytes);
        gone
    }
}

impl Plans {
    pub(super) fn process() -> &'static Self {
        static PROCESS: OnceLock<Plans> = OnceLock::new();
        PROCESS.get_or_init(|| Self(Mutex::new(Kept::new(Ledger::process()))))
    }

    /// What `style` came to before.
    pub(super) fn known(
        &self,
        dataset: &Dataset,
        frame: u32,
        style: &TileStyle,
        eight_bits: bool,
    ) -> Option<Arc<StylePlan>> {
        self.find(&PlanKey::new(dataset, frame, style, eight_bits))
    }

    fn find(&self, key: &PlanKey) -> Option<Arc<StylePlan>> {
        self.0.lock().plans.get(key).map(Arc::clone)
    }

    /// What `style` comes to for a frame of a dataset; with `eight_bits`, as encoders want it.
    pub(super) fn plan(
        &self,
        dataset: &Dataset,
        frame: u32,
        style: &TileStyle,
        eight_bits: bool,
    ) -> Result<Arc<StylePlan>> {
        let key = PlanKey::new(dataset, frame, style, eight_bits);
        if let Some(plan) = self.find(&key) {
            return Ok(plan);
        }
        // No lock is held while samples are looked at. Of two that are made at once the last is kept.
        let plan = style.resolve(dataset, frame)?;
        let plan = Arc::new(if eight_bits && !plan.is_unstyled() { plan.eight_bits() } else { plan });
        let gone = self.0.lock().keep(key, Arc::clone(&plan));
        drop(gone);
        Ok(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemorySource, OpenOptions, SampleType};

    #[test]
    fn a_style_is_resolved_once_and_plans_stay_within_their_bytes() {
        let ledger = Arc::new(Ledger::default());
        let plans = Plans(Mutex::new(Kept::new(&ledger)));
        let source = MemorySource::new(2, 1, 1, SampleType::U16, (2, 1), vec![0; 4]).unwrap();
        let dataset = Dataset::from_source(source, &OpenOptions::default()).unwrap();
        let style = |max: usize| TileStyle::from(Style::parse(&format!(r#"{{"min": 0, "max": {max}}}"#)).unwrap());
        let first = plans.plan(&dataset, 0, &style(1), true).unwrap();
        assert!(Arc::ptr_eq(&first, &plans.plan(&dataset, 0, &style(1), true).unwrap()));
        assert!(!Arc::ptr_eq(&first, &plans.plan(&dataset, 0, &style(1), false).unwrap()));
        assert!(plans.plan(&dataset, 1, &style(1), true).is_err());
        for max in 2..400 {
            plans.plan(&dataset, 0, &style(max), true).unwrap();
            let kept = plans.0.lock();
            let bytes = ledger.bytes(Class::Metadata);
            assert_eq!(bytes, kept.plans.iter().map(|(_, plan)| plan.memory_bytes()).sum::<u64>());
            assert!(bytes <= MAX_BYTES);
        }
        assert!(!Arc::ptr_eq(&first, &plans.plan(&dataset, 0, &style(1), true).unwrap()));
    }
}
