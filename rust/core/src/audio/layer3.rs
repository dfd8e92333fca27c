//! MPEG layer 3, packet by packet.

use nanomp3_core::{Channels as Layout, DecodeError, Decoder, FrameInfo, MAX_SAMPLES_PER_FRAME};
use symphonia::core::audio::Channels;
use symphonia::core::errors::Error as DecoderError;

/// Lowest sample rate of MPEG-1, whose frames are twice as long as those of MPEG-2 and 2.5.
const MPEG1_MIN_RATE_HZ: u32 = 32_000;

/// Layer 3 of one or two channels.
pub(super) struct Layer3 {
    decoder: Decoder,
    /// One frame, its channels interleaved.
    frame: [f32; MAX_SAMPLES_PER_FRAME],
}

impl Layer3 {
    pub(super) fn new() -> Self {
        Self { decoder: Decoder::new(), frame: [0.0; MAX_SAMPLES_PER_FRAME] }
    }

    /// Decodes a packet, which is one frame, into `planes`; see `Codec::decode`.
    ///
    /// A frame that begins in packets before the first, as where a stream was recorded from its middle, is silence: it
    /// has its place in time, and all players give it that.
    pub(super) fn decode(
        &mut self,
        packet: &[u8],
        planes: &mut Vec<Vec<f32>>,
    ) -> Result<(u32, Channels), DecoderError> {
        let bad = DecoderError::DecodeError("mp3: the packet is damaged");
        let FrameInfo { samples_produced, channels, sample_rate, .. } =
            match self.decoder.decode(packet, &mut self.frame).1 {
                Ok(info) => info,
                Err(DecodeError::ReservoirUnavailable(mut info)) => {
                    info.samples_produced = if info.sample_rate < MPEG1_MIN_RATE_HZ { 576 } else { 1_152 };
                    self.frame.fill(0.0);
                    info
                }
                Err(_) => return Err(bad),
            };
        let count = usize::from(channels.num());
        let frame = self.frame.get(..samples_produced * count).ok_or(bad)?;
        planes.resize_with(count, Vec::new);
        for (channel, plane) in planes.iter_mut().enumerate() {
            plane.clear();
            match channels {
                Layout::Mono => plane.extend_from_slice(frame),
                Layout::Stereo => plane.extend(frame.as_chunks::<2>().0.iter().map(|pair| pair[channel & 1])),
            }
        }
        Ok((sample_rate, Channels::Discrete(u16::from(channels.num()))))
    }
}
