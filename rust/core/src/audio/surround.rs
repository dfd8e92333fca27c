//! More than two channels: Vorbis of them decoded, and any of them mixed down.

use lewton::audio::{PreviousWindowRight, read_audio_packet_generic};
use lewton::header::{IdentHeader, SetupHeader, read_header_ident, read_header_setup};
use symphonia::core::audio::{Channels, Position};
use symphonia::core::errors::Error as DecoderError;

/// Bytes of Vorbis' first header.
const IDENT_BYTES: usize = 30;

/// Vorbis of three to eight channels.
pub(super) struct SurroundVorbis {
    ident: IdentHeader,
    setup: SetupHeader,
    /// The half block that the next one laps with.
    previous: PreviousWindowRight,
    places: Channels,
}

impl SurroundVorbis {
    /// `headers` are the first and the third header, one behind the other.
    pub(super) fn new(headers: &[u8], places: Channels) -> Result<Self, String> {
        let (first, third) = headers.split_at_checked(IDENT_BYTES).ok_or("its headers are missing")?;
        let bad = |error| format!("its headers are damaged: {error:?}");
        let ident = read_header_ident(first).map_err(bad)?;
        let blocks = (ident.blocksize_0, ident.blocksize_1);
        let setup = read_header_setup(third, ident.audio_channels, blocks).map_err(bad)?;
        Ok(Self { ident, setup, previous: PreviousWindowRight::new(), places })
    }

    /// Decodes a packet into `planes`, in the order of the places' bits as everywhere else; see `Codec::decode`.
    pub(super) fn decode(
        &mut self,
        packet: &[u8],
        planes: &mut Vec<Vec<f32>>,
    ) -> Result<(u32, Channels), DecoderError> {
        // The order of Vorbis' own channels: its second of five is the front centre, the third place by bits.
        let order: &[usize] = match self.ident.audio_channels {
            3 => &[0, 2, 1],
            5 => &[0, 2, 1, 3, 4],
            6 => &[0, 2, 1, 4, 5, 3],
            7 => &[0, 2, 1, 5, 6, 4, 3],
            8 => &[0, 2, 1, 6, 7, 4, 5, 3],
            _ => &[0, 1, 2, 3],
        };
        let decoded: Vec<Vec<f32>> = read_audio_packet_generic(&self.ident, &self.setup, packet, &mut self.previous)
            .map_err(|_| DecoderError::DecodeError("vorbis: the packet is damaged"))?;
        planes.clear();
        planes.resize_with(decoded.len(), Vec::new);
        for (plane, &place) in decoded.into_iter().zip(order) {
            if let Some(slot) = planes.get_mut(place) {
                *slot = plane;
            }
        }
        Ok((self.ident.audio_sample_rate, self.places.clone()))
    }
}

/// How channels become one lane or two.
pub(super) enum Mix {
    /// One lane: the mean.
    Mean,
    /// As many lanes as channels.
    Through,
    /// Two lanes: weights of each channel, those of one lane adding up to 1 at most.
    Weighted(Vec<[f32; 2]>),
}

impl Mix {
    pub(super) fn new(places: &Channels, channels: usize, lanes: usize) -> Self {
        if lanes < 2 {
            return Self::Mean;
        }
        if channels <= 2 {
            return Self::Through;
        }
        let even = [1.0 / channels as f32; 2];
        let Channels::Positioned(positions) = places else { return Self::Weighted(vec![even; channels]) };
        let mut weights: Vec<[f32; 2]> = positions.iter().map(weight).collect();
        let total = |lane: usize| weights.iter().map(|weight| weight[lane]).sum::<f32>();
        let loudest = total(0).max(total(1));
        if weights.len() != channels || total(0) == 0.0 || total(1) == 0.0 {
            return Self::Weighted(vec![even; channels]);
        }
        for weight in weights.iter_mut().flatten() {
            *weight /= loudest;
        }
        Self::Weighted(weights)
    }

    /// Fills `mixed` with lane `lane` of `planes`.
    pub(super) fn run(&self, lane: usize, planes: &[Vec<f32>], mixed: &mut Vec<f32>) {
        mixed.clear();
        match self {
            Self::Mean => {
                if let [left, right] = planes {
                    mixed.extend(left.iter().zip(right).map(|(left, right)| (left + right) * 0.5));
                    return;
                }
                let Some((first, others)) = planes.split_first() else { return };
                mixed.extend_from_slice(first);
                for plane in others {
                    for (sum, sample) in mixed.iter_mut().zip(plane) {
                        *sum += sample;
                    }
                }
                let scale = 1.0 / planes.len() as f32;
                for sample in mixed {
                    *sample *= scale;
                }
            }
            Self::Through => {
                // A stream that turns from two channels to one fills both lanes with it.
                if let Some(plane) = planes.get(lane).or(planes.first()) {
                    mixed.extend_from_slice(plane);
                }
            }
            Self::Weighted(weights) => {
                mixed.resize(planes.first().map_or(0, Vec::len), 0.0);
                for (plane, weight) in planes.iter().zip(weights) {
                    for (sum, sample) in mixed.iter_mut().zip(plane) {
                        *sum += sample * weight[lane];
                    }
                }
            }
        }
    }
}

/// Weights of one place in left and right, as ITU-R BS.775 mixes: centre and surround at −3 dB, no low-frequency effects.
fn weight(place: Position) -> [f32; 2] {
    const HALF: f32 = std::f32::consts::FRAC_1_SQRT_2;
    let left = Position::REAR_LEFT | Position::SIDE_LEFT | Position::TOP_FRONT_LEFT | Position::TOP_REAR_LEFT;
    let right = Position::REAR_RIGHT | Position::SIDE_RIGHT | Position::TOP_FRONT_RIGHT | Position::TOP_REAR_RIGHT;
    if (Position::FRONT_LEFT | Position::FRONT_LEFT_CENTER | Position::FRONT_LEFT_WIDE).contains(place) {
        [1.0, 0.0]
    } else if (Position::FRONT_RIGHT | Position::FRONT_RIGHT_CENTER | Position::FRONT_RIGHT_WIDE).contains(place) {
        [0.0, 1.0]
    } else if left.contains(place) {
        [HALF, 0.0]
    } else if right.contains(place) {
        [0.0, HALF]
    } else if (Position::LFE1 | Position::LFE2).contains(place) {
        [0.0, 0.0]
    } else if place == Position::FRONT_CENTER {
        [HALF, HALF]
    } else {
        [0.5, 0.5]
    }
}
