//! What the tests share: everything that is traced, as text.

use std::{
    fmt::{Debug, Write},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

/// One event, or the start of a span.
#[derive(Clone, Debug)]
pub(crate) struct Traced {
    pub(crate) level: Level,
    pub(crate) target: String,
    /// The name of a span; `None` for an event.
    pub(crate) span: Option<&'static str>,
    /// Its fields, as ` name=value` each; an event's text among them, as `message`.
    pub(crate) fields: String,
}

/// Keeps all that is traced, at every level.
#[derive(Clone, Default)]
pub(crate) struct Capture {
    traced: Arc<Mutex<Vec<Traced>>>,
    spans: Arc<AtomicU64>,
}

impl Capture {
    pub(crate) fn traced(&self) -> Vec<Traced> {
        self.traced.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn push(&self, metadata: &Metadata<'_>, span: Option<&'static str>, fields: Fields) {
        let (level, target) = (*metadata.level(), metadata.target().to_owned());
        let traced = Traced { level, target, span, fields: fields.0 };
        self.traced.lock().unwrap_or_else(PoisonError::into_inner).push(traced);
    }
}

impl Subscriber for Capture {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut fields = Fields::default();
        span.record(&mut fields);
        self.push(span.metadata(), Some(span.metadata().name()), fields);
        Id::from_u64(self.spans.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        self.push(event.metadata(), None, fields);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing to a string cannot fail.
        _ = write!(self.0, " {}={value:?}", field.name());
    }
}
