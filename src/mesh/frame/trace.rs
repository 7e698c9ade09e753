//! The frames that follow the way of a message, and tell its origin where they have come: they travel with the data.
//!
//! Only a link whose both ends have the feature [`TRACE`] carries them. What is done with them is left to `plane/trace.rs`,
//! what an origin makes of it, to `trace.rs`.

use super::{FrameError, Kind, Raw, append};
use crate::codec::{self, Decode, Encode};
use crate::mesh::spf::HOPS_MAX;
use bincode::error::DecodeError;

/// The bit of [`Hello::features`](super::Hello::features) of a node that takes these frames.
pub const TRACE: u64 = 1;
/// Nodes that a frame tells of at most: those at both ends of as many links as a message may pass.
pub const STEPS_MAX: usize = HOPS_MAX as usize + 1;

/// Goes where a message would go.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Probe {
    /// Index of the destination.
    pub to: u32,
    /// How many more links the frame may pass.
    pub hops: u8,
    /// Index of the origin.
    pub origin: u32,
    /// The boot epoch of the origin.
    pub boot: u64,
    /// The origin's number for what it wants to know.
    pub id: u64,
    /// The nodes that it has passed, the origin first; at most [`STEPS_MAX`].
    pub steps: Vec<Step>,
}

/// Tells the origin how far its probe has come.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Report {
    /// Index of the origin of the probe.
    pub to: u32,
    /// How many more links the frame may pass.
    pub hops: u8,
    /// The destination of the probe.
    pub destination: u32,
    /// As in the probe.
    pub boot: u64,
    /// As in the probe.
    pub id: u64,
    /// The nodes that the probe has passed, the sender of this last; at most [`STEPS_MAX`].
    pub steps: Vec<Step>,
    /// What has become of the probe there.
    pub fate: Fate,
}

/// A node on the way of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Step {
    /// Its index.
    pub node: u32,
    /// From the moment in which it had read the probe until it passed it on, in microseconds.
    pub took_us: u32,
    /// Bytes that waited for the link before the probe, and had to be written first.
    pub waiting: u32,
    /// Round-trip time of the link that it passed the probe to, in microseconds, as it measures it all the time; 0 at the end.
    pub rtt_us: u32,
}

/// What has become of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Fate {
    /// It was passed on.
    Passed,
    /// It has arrived.
    Arrived,
    /// There is no way from there.
    NoWay,
    /// The next link's buffer is full.
    Full,
    /// The next node does not know such frames.
    Unknown,
    /// It has passed as many links as a message may.
    TooFar,
}

/// One of the two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TraceFrame {
    /// On the way there.
    Probe(Probe),
    /// On the way back.
    Report(Report),
}

impl TraceFrame {
    /// Appends the whole frame: length, kind and record.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Probe(probe) => append(Kind::Probe, out, |out| codec::encode_into(probe, out)),
            Self::Report(report) => append(Kind::Report, out, |out| codec::encode_into(report, out)),
        }
    }

    /// Decodes a frame.
    ///
    /// # Errors
    /// [`FrameError`]: the peer broke the protocol.
    pub fn decode(raw: Raw<'_>) -> Result<Self, FrameError> {
        let Raw { kind, payload } = raw;
        let frame = match kind {
            Kind::Probe => codec::decode(payload).map(Self::Probe),
            Kind::Report => codec::decode(payload).map(Self::Report),
            _ => return Err(FrameError::Misplaced(kind)),
        };
        let frame = frame.map_err(|error| FrameError::Record { kind, error })?;
        let (Self::Probe(Probe { steps, .. }) | Self::Report(Report { steps, .. })) = &frame;
        if steps.len() > STEPS_MAX {
            let error = DecodeError::Other("more steps than a message may take").into();
            return Err(FrameError::Record { kind, error });
        }
        Ok(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::super::payload;
    use super::*;

    fn frames(steps: usize) -> [TraceFrame; 2] {
        let step = Step { node: u32::MAX, took_us: u32::MAX, waiting: u32::MAX, rtt_us: u32::MAX };
        let steps = vec![step; steps];
        let (boot, id) = (u64::MAX, u64::MAX);
        let probe = Probe { to: 1, hops: 63, origin: u32::MAX, boot, id, steps: steps.clone() };
        let report = Report { to: 1, hops: 63, destination: 2, boot, id, steps, fate: Fate::Arrived };
        [TraceFrame::Probe(probe), TraceFrame::Report(report)]
    }

    #[test]
    fn the_longest_ways_fit() {
        for (frame, kind) in frames(STEPS_MAX).into_iter().zip([Kind::Probe, Kind::Report]) {
            let mut out = Vec::new();
            frame.encode(&mut out);
            assert!(payload(&out).len() <= kind.payload_max(0), "{}", out.len());
            assert_eq!(TraceFrame::decode(Raw { kind, payload: payload(&out) }).unwrap(), frame);
        }
    }

    #[test]
    fn longer_ones_and_others_are_refused() {
        for (frame, kind) in frames(STEPS_MAX + 1).into_iter().zip([Kind::Probe, Kind::Report]) {
            let mut out = Vec::new();
            frame.encode(&mut out);
            let error = TraceFrame::decode(Raw { kind, payload: payload(&out) }).unwrap_err().to_string();
            assert!(error.contains("more steps"), "{error}");
            let misplaced = TraceFrame::decode(Raw { kind: Kind::Mark, payload: payload(&out) });
            assert!(matches!(misplaced, Err(FrameError::Misplaced(Kind::Mark))));
        }
    }
}
