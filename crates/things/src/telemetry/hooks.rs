//! What is counted of broker hooks.

use std::fmt;

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder},
    metrics::{counter::Counter, family::Family},
};

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Broker {
    Emqx,
    Mosquitto,
    Nanomq,
    Rabbitmq,
    Rmqtt,
    Vernemq,
}

impl Broker {
    pub(crate) const ALL: [Self; 6] =
        [Self::Emqx, Self::Mosquitto, Self::Nanomq, Self::Rabbitmq, Self::Rmqtt, Self::Vernemq];

    /// As in paths and labels.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Emqx => "emqx",
            Self::Mosquitto => "mosquitto",
            Self::Nanomq => "nanomq",
            Self::Rabbitmq => "rabbitmq",
            Self::Rmqtt => "rmqtt",
            Self::Vernemq => "vernemq",
        }
    }
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Question {
    /// May a device connect?
    Connect,
    /// May it do something?
    Topic,
    /// May the broker ask at all?
    Secret,
}

/// What the answer was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Verdict {
    Allowed,
    Refused,
    /// It could not be found out, which was told as a refusal.
    Failed,
}

impl EncodeLabelValue for Broker {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        fmt::Write::write_str(encoder, self.as_str())
    }
}

impl EncodeLabelValue for Question {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        let text = match self {
            Self::Connect => "connect",
            Self::Topic => "topic",
            Self::Secret => "secret",
        };
        fmt::Write::write_str(encoder, text)
    }
}

impl EncodeLabelValue for Verdict {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        let text = match self {
            Self::Allowed => "allowed",
            Self::Refused => "refused",
            Self::Failed => "failed",
        };
        fmt::Write::write_str(encoder, text)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answer {
    broker: Broker,
    question: Question,
    verdict: Verdict,
}

/// The counter. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct HookMetrics(Family<Answer, Counter>);

impl HookMetrics {
    pub(super) fn register(&self, registry: &mut prometheus_client::registry::Registry) {
        registry.register("hook_answers", "Answers to MQTT brokers' questions", self.0.clone());
    }

    pub(crate) fn count(&self, broker: Broker, question: Question, verdict: Verdict) {
        self.0.get_or_create(&Answer { broker, question, verdict }).inc();
    }
}
