//! Sound files of any common kind to mono samples at one rate, with time 0 at the first sample a listener hears; their
//! tags; and the Ogg Vorbis file that a level carries.
//!
//! What is cut away so that time 0 is right, and by which evidence:
//!
//! | format | start | end |
//! | --- | --- | --- |
//! | mp3 with a LAME (or libavcodec) tag | encoder delay of the tag + 529 samples of decoder delay | padding of the tag, if the file has exactly the frames the tag counts |
//! | mp3 without such a tag | nothing: no player can know the delay, all of them (mpg123, ffmpeg) play it | nothing |
//! | Ogg Vorbis, Ogg FLAC | samples before granule position 0 | samples after the last granule position, on the last page only |
//! | m4a (AAC, ALAC) | start of the first edit of the edit list, else the priming of `iTunSMPB` | `iTunSMPB` length, else the end of that edit |
//! | raw AAC (ADTS), wav, FLAC | nothing | nothing |
//!
//! A positive first granule (a stream recorded from its middle) inserts no silence, and damaged stretches whose length
//! is known are replaced by silence, so what follows stays in time.

use std::borrow::Cow;
use std::fmt;
use std::io::{Cursor, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use symphonia::core::audio::Channels;
use symphonia::core::codecs::audio::well_known::{CODEC_ID_ALAC, CODEC_ID_FLAC, CODEC_ID_OPUS, CODEC_ID_VORBIS};
use symphonia::core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error as DecoderError;
use symphonia::core::formats::{FormatOptions, FormatReader, Track, TrackType};
use symphonia::core::io::{MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::packet::Packet;
use symphonia::default::formats::{AdtsReader, FlacReader, IsoMp4Reader, MpaReader, OggReader, WavReader};

use crate::error::{Error, Limits, Place, Result, Warning};

mod container;
mod layer3;
mod sink;
mod surround;
mod tags;
mod vorbis;

use container::{Container, Edit, aac_core, mend_mp4, mend_wav, mp4_edit, sniff, strip_id3v1, unsupported};
use layer3::Layer3;
use sink::Sink;
use surround::{Mix, SurroundVorbis};
pub use tags::{Cover, Tags, read_tags};
pub use vorbis::{Action, MAX_PAD_S, PrepareOptions, Prepared, encode_vorbis, prepare};

/// Lowest sample rate that is read or made.
pub const MIN_RATE_HZ: u32 = 8_000;
/// Highest sample rate that is read or made.
pub const MAX_RATE_HZ: u32 = 192_000;
/// Most channels that are mixed down.
pub const MAX_CHANNELS: usize = 8;

/// Most channels of Vorbis that symphonia 0.6 decodes rightly: with more, libvorbis writes residues of type 1 and of
/// submaps, and for those its output differs from libvorbis' by up to full scale. Those go to [`SurroundVorbis`].
const MAX_VORBIS_CHANNELS: usize = 2;

/// Packets in a row that may fail before the rest of a file is given up.
const MAX_BAD_PACKETS: u32 = 4_096;
/// Longest block any supported codec decodes to, in frames: the most silence one lost packet stands for.
const MAX_BLOCK_FRAMES: i64 = 65_536;
/// Samples beyond this are no sound but damage, and would overflow sums of squares.
const MAX_SAMPLE: f32 = 1e9;
/// Jumps of the time stamps up to this many frames are an encoder's carelessness, not missing sound.
const MIN_GAP_FRAMES: i64 = 1_024;
/// Longest silence that stands for one damaged stretch, in seconds.
const MAX_SILENCE_S: i64 = 60;
/// Where the sound comes from.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// A file.
    Path(&'a Path),
    /// Bytes already read, with the name that messages use.
    Bytes {
        /// Name for messages.
        name: &'a str,
        /// Contents of the file.
        bytes: &'a [u8],
    },
}

/// How to decode.
#[derive(Clone, Debug, PartialEq)]
pub struct DecodeOptions {
    /// Rate of the samples to make, [`MIN_RATE_HZ`] to [`MAX_RATE_HZ`].
    pub sample_rate_hz: u32,
    /// Longest sound that is accepted, in seconds.
    pub max_seconds: f64,
}

impl Default for DecodeOptions {
    fn default() -> Self {
        Self { sample_rate_hz: 22_050, max_seconds: 1_800.0 }
    }
}

/// What a file was recognised as, by its contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// RIFF WAVE.
    Wav,
    /// Vorbis in Ogg (`.ogg`, `.egg`).
    OggVorbis,
    /// FLAC in Ogg.
    OggFlac,
    /// Native FLAC.
    Flac,
    /// MPEG layer 3.
    Mp3,
    /// AAC in MP4 (`.m4a`).
    Mp4Aac,
    /// Apple Lossless in MP4.
    Mp4Alac,
    /// Raw AAC with ADTS headers.
    Adts,
}

impl Format {
    /// Stable short name, for example `ogg-vorbis`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Wav => "wav",
            Self::OggVorbis => "ogg-vorbis",
            Self::OggFlac => "ogg-flac",
            Self::Flac => "flac",
            Self::Mp3 => "mp3",
            Self::Mp4Aac => "m4a-aac",
            Self::Mp4Alac => "m4a-alac",
            Self::Adts => "aac",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A decoded song.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// Mono samples (mean of the channels), nominally −1…1, all finite.
    pub samples: Vec<f32>,
    /// Rate of `samples`.
    pub sample_rate_hz: u32,
    /// Rate of the file.
    pub source_rate_hz: u32,
    /// Channels of the file.
    pub channels: usize,
    /// Length of `samples`.
    pub seconds: f64,
    /// What the file is.
    pub format: Format,
    /// Encoder delay that was cut from the start, in samples of the file's rate.
    pub trimmed_start_samples: u64,
    /// What was wrong with the file and was survived.
    pub warnings: Vec<Warning>,
}

/// Decodes `source` to mono at `options.sample_rate_hz`; the table at the top of this module says what is trimmed.
///
/// The result has `round(frames · sample_rate_hz / source_rate_hz)` samples. A file that is cut short or damaged gives
/// what is sound and a warning (`truncated`, `damaged`, `non-finite`, `rate-change`), HE-AAC its core (`he-aac`).
///
/// # Errors
/// [`Error::Io`] when the file cannot be read, [`Error::Limit`] beyond `max_seconds`, [`MAX_CHANNELS`] or
/// [`Limits::media_bytes`], [`Error::Spec`] for impossible options, and [`Error::Audio`] when there is nothing to hear.
pub fn decode(source: Source<'_>, options: &DecodeOptions) -> Result<Decoded> {
    let wish = options.wish()?;
    let (name, bytes) = source.read()?;
    Ok(Job { name: &name, wish: &wish }.decode(&bytes)?.into())
}

impl DecodeOptions {
    fn wish(&self) -> Result<Wish> {
        let refuse = |field: &str, problem: String| Err(Error::Spec { field: field.into(), problem });
        let &Self { sample_rate_hz, max_seconds } = self;
        if !(MIN_RATE_HZ..=MAX_RATE_HZ).contains(&sample_rate_hz) {
            return refuse(
                "sample_rate_hz",
                format!("found {sample_rate_hz}, expected {MIN_RATE_HZ} to {MAX_RATE_HZ}"),
            );
        }
        if !(max_seconds > 0.0 && max_seconds <= 86_400.0) {
            return refuse("max_seconds", format!("found {max_seconds}, expected more than 0 and at most 86400"));
        }
        Ok(Wish { rate_hz: Rate::Exactly(sample_rate_hz), stereo: false, max_seconds })
    }
}

impl<'a> Source<'a> {
    /// The name for messages, and the contents.
    fn read(self) -> Result<(PathBuf, Cow<'a, [u8]>)> {
        let limit = Limits::default().media_bytes;
        let check = |name: &Path, found: u64| {
            let place = Place::file(name.display().to_string());
            if found > limit { Err(Error::Limit { name: "media_bytes", limit, found, place }) } else { Ok(()) }
        };
        match self {
            Source::Path(path) => {
                check(path, std::fs::metadata(path).map_err(Error::io(path))?.len())?;
                let bytes = std::fs::read(path).map_err(Error::io(path))?;
                check(path, bytes.len() as u64)?;
                Ok((path.to_path_buf(), Cow::Owned(bytes)))
            }
            Source::Bytes { name, bytes } => {
                check(Path::new(name), bytes.len() as u64)?;
                Ok((PathBuf::from(name), Cow::Borrowed(bytes)))
            }
        }
    }
}

/// What the samples are to be.
#[derive(Clone, Copy)]
struct Wish {
    rate_hz: Rate,
    /// Two lanes for a source of two channels or more, instead of one for all.
    stereo: bool,
    max_seconds: f64,
}

/// Rate of the samples.
#[derive(Clone, Copy)]
enum Rate {
    Exactly(u32),
    /// The source's own if it is one of the first, else the second.
    OneOf(&'static [u32], u32),
}

impl Rate {
    fn of(self, source_rate_hz: u32) -> u32 {
        match self {
            Self::Exactly(rate_hz) => rate_hz,
            Self::OneOf(kept, _) if kept.contains(&source_rate_hz) => source_rate_hz,
            Self::OneOf(_, rate_hz) => rate_hz,
        }
    }
}

/// What came of one job: [`Decoded`] with one or two lanes of samples.
struct Sound {
    lanes: Vec<Vec<f32>>,
    sample_rate_hz: u32,
    source_rate_hz: u32,
    channels: usize,
    format: Format,
    trimmed_start: u64,
    warnings: Vec<Warning>,
}

impl From<Sound> for Decoded {
    /// The first lane, which is all there is unless two were wished for.
    fn from(sound: Sound) -> Self {
        let samples = sound.lanes.into_iter().next().unwrap_or_default();
        Self {
            seconds: samples.len() as f64 / f64::from(sound.sample_rate_hz),
            samples,
            sample_rate_hz: sound.sample_rate_hz,
            source_rate_hz: sound.source_rate_hz,
            channels: sound.channels,
            format: sound.format,
            trimmed_start_samples: sound.trimmed_start,
            warnings: sound.warnings,
        }
    }
}

/// A file that was recognised.
struct Recognised<'a> {
    container: Container,
    /// Where the container starts: what lies before it are ID3v2 tags, or junk before an mp3.
    start: usize,
    /// The container without the tags around it, lengths that lie put right.
    body: Cow<'a, [u8]>,
}

/// Finds out what `bytes` are, or says in one sentence what they are instead.
fn recognise(bytes: &[u8]) -> Result<Recognised<'_>, String> {
    let (container, start) = sniff(bytes)?;
    let body = strip_id3v1(bytes.get(start..).unwrap_or_default());
    let mended = match container {
        Container::Wav => mend_wav(body),
        Container::Mp4 => mend_mp4(body)?,
        _ => None,
    };
    Ok(Recognised { container, start, body: mended.map_or(Cow::Borrowed(body), Cow::Owned) })
}

/// One decoding: what its messages and limits need.
struct Job<'a> {
    name: &'a Path,
    wish: &'a Wish,
}

impl Job<'_> {
    fn error(&self, problem: impl Into<String>) -> Error {
        Error::Audio { path: self.name.to_path_buf(), problem: problem.into() }
    }

    fn limit(&self, name: &'static str, limit: u64, found: u64) -> Error {
        Error::Limit { name, limit, found, place: self.place() }
    }

    fn place(&self) -> Place {
        Place::file(self.name.display().to_string())
    }

    fn decode(&self, bytes: &[u8]) -> Result<Sound> {
        let Recognised { container, body, .. } = recognise(bytes).map_err(|problem| self.error(problem))?;
        let mut session = Session::new(self, container);
        if container == Container::Wav && matches!(body, Cow::Owned(_)) {
            session.warn("truncated", "the lengths in its header do not fit the file, all there is was read".into());
        }
        // The demuxers and decoders are other people's code fed with hostile bytes: should one of them panic, what was
        // decoded before is kept, exactly as when it had returned an error.
        let outcome = catch_unwind(AssertUnwindSafe(|| session.run(&body)))
            .unwrap_or_else(|_| Err(Stop::Damaged("the decoder broke down".into())));
        match outcome {
            Ok(()) => {}
            Err(Stop::Fatal(error)) => return Err(error),
            Err(Stop::Truncated) => session.warn("truncated", "the file ends before the sound does".into()),
            Err(Stop::Damaged(problem)) => session.warn("damaged", problem),
        }
        session.finish()
    }
}

/// Why decoding ended before the end of the stream.
enum Stop {
    Fatal(Error),
    Truncated,
    Damaged(String),
}

impl From<DecoderError> for Stop {
    fn from(error: DecoderError) -> Self {
        match error {
            DecoderError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => Self::Truncated,
            error => Self::Damaged(error.to_string()),
        }
    }
}

/// The demuxer of a container, past its headers.
fn open(container: Container, bytes: &[u8]) -> Result<Box<dyn FormatReader + '_>, DecoderError> {
    let mut stream = MediaSourceStream::new(Box::new(Cursor::new(bytes)), MediaSourceStreamOptions::default());
    let options = FormatOptions::default();
    Ok(match container {
        Container::Wav => Box::new(WavReader::try_new(stream, options)?),
        Container::Ogg => Box::new(OggReader::try_new(stream, options)?),
        Container::Flac => Box::new(FlacReader::try_new(stream, options)?),
        Container::Mp3 => Box::new(MpaReader::try_new(stream, options)?),
        Container::Mp4 => {
            // Symphonia steps back over the size of the first box, which its own probe has read already.
            std::io::Read::read_exact(&mut stream, &mut [0; 4])?;
            Box::new(IsoMp4Reader::try_new(stream, options)?)
        }
        Container::Adts => Box::new(AdtsReader::try_new(stream, options)?),
    })
}

/// What turns the packets of a track into samples.
enum Codec {
    Symphonia(Box<dyn AudioDecoder>),
    Layer3(Box<Layer3>),
    Surround(Box<SurroundVorbis>),
}

impl Codec {
    /// Decodes one packet into `planes`; the rate and the places of the channels in the order of the planes.
    fn decode(&mut self, packet: &Packet, planes: &mut Vec<Vec<f32>>) -> Result<(u32, Channels), DecoderError> {
        match self {
            Self::Symphonia(decoder) => {
                let buffer = decoder.decode(packet)?;
                let spec = buffer.spec();
                let known = (spec.rate(), spec.channels().clone());
                buffer.copy_to_vecs_planar(planes);
                Ok(known)
            }
            Self::Layer3(decoder) => decoder.decode(&packet.data, planes),
            Self::Surround(decoder) => decoder.decode(&packet.data, planes),
        }
    }
}

/// The state of one decode: what was recognised, and the sink that the samples go to.
struct Session<'a> {
    job: &'a Job<'a>,
    container: Container,
    format: Option<Format>,
    channels: usize,
    sink: Option<Sink>,
    trimmed_start: u64,
    /// Frames at the end of `sink` that are padding unless more sound follows.
    tail: usize,
    non_finite: u64,
    lost_packets: u64,
    first_loss: String,
    warnings: Vec<Warning>,
    planes: Vec<Vec<f32>>,
    /// One packet mixed down to the lanes of the sink.
    mixed: Vec<Vec<f32>>,
}

impl<'a> Session<'a> {
    fn new(job: &'a Job<'a>, container: Container) -> Self {
        Self {
            job,
            container,
            format: None,
            channels: 0,
            sink: None,
            trimmed_start: 0,
            tail: 0,
            non_finite: 0,
            lost_packets: 0,
            first_loss: String::new(),
            warnings: Vec::new(),
            planes: Vec::new(),
            mixed: Vec::new(),
        }
    }

    fn warn(&mut self, rule: &'static str, message: String) {
        self.warnings.push(Warning { rule, place: self.job.place(), message, count: 1 });
    }

    fn run(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        let mut reader = open(self.container, bytes)?;
        // A chained Ogg file is several streams one after another, each announced by a reset.
        while self.run_stream(reader.as_mut(), bytes)? == Next::Stream {}
        Ok(())
    }

    fn run_stream(&mut self, reader: &mut (dyn FormatReader + '_), bytes: &[u8]) -> Result<Next, Stop> {
        let Some(track) = reader.default_track(TrackType::Audio).cloned() else {
            return Err(Stop::Damaged("it has no audio track".into()));
        };
        let mut decoder = self.make_decoder(&track)?;
        let mut clock = Clock::new(self.container, &track, bytes);
        let mut bad_in_a_row = 0_u32;
        let ended = loop {
            let packet = match reader.next_packet() {
                Ok(Some(packet)) => packet,
                Ok(None) => break Ok(Next::End),
                Err(DecoderError::ResetRequired) => break Ok(Next::Stream),
                Err(error) => break Err(error.into()),
            };
            if packet.track_id != track.id {
                continue;
            }
            match decoder.decode(&packet, &mut self.planes) {
                Ok((rate_hz, channels)) => {
                    bad_in_a_row = 0;
                    if self.take(rate_hz, &channels, &packet, &mut clock)? == Next::End {
                        return Ok(Next::End);
                    }
                }
                Err(error) => {
                    bad_in_a_row += 1;
                    self.lose(&error);
                    if bad_in_a_row > MAX_BAD_PACKETS {
                        break Err(Stop::Damaged(format!("{MAX_BAD_PACKETS} packets in a row cannot be decoded")));
                    }
                }
            }
        };
        self.end_stream(&track, &clock, ended.is_ok());
        ended
    }

    fn make_decoder(&mut self, track: &Track) -> Result<Codec, Stop> {
        let fatal = |problem: String| Stop::Fatal(self.job.error(problem));
        let Some(params) = track.codec_params.as_ref().and_then(|params| params.audio()) else {
            return Err(fatal(unsupported("the codec of its audio track")));
        };
        let format = match (self.container, params.codec) {
            (Container::Wav, _) => Format::Wav,
            (Container::Flac, _) => Format::Flac,
            (Container::Mp3, _) => Format::Mp3,
            (Container::Adts, _) => Format::Adts,
            (Container::Ogg, CODEC_ID_VORBIS) => Format::OggVorbis,
            (Container::Ogg, CODEC_ID_FLAC) => Format::OggFlac,
            (Container::Mp4, CODEC_ID_ALAC) => Format::Mp4Alac,
            (Container::Mp4, _) => Format::Mp4Aac,
            (Container::Ogg, CODEC_ID_OPUS) => return Err(fatal(unsupported("Opus in Ogg"))),
            (Container::Ogg, _) => return Err(fatal(unsupported("the codec in this Ogg file"))),
        };
        if let Some(channels) = params.channels.as_ref().map(Channels::count) {
            self.check_channels(channels)?;
            if format == Format::OggVorbis && channels > MAX_VORBIS_CHANNELS {
                let headers = params.extra_data.as_deref().unwrap_or_default();
                let places = params.channels.clone().unwrap_or(Channels::None);
                let decoder = SurroundVorbis::new(headers, places).map_err(Stop::Damaged)?;
                self.format.get_or_insert(format);
                return Ok(Codec::Surround(Box::new(decoder)));
            }
        }
        if format == Format::Mp3 {
            self.format.get_or_insert(format);
            return Ok(Codec::Layer3(Box::new(Layer3::new())));
        }
        let mut params = params.clone();
        if let Some(core) = params.extra_data.as_deref().filter(|_| format == Format::Mp4Aac).and_then(aac_core) {
            let message = "it is HE-AAC, of which only the lower half of the band is decoded, convert it first";
            self.warn("he-aac", message.into());
            params.with_extra_data(Box::new(core));
        }
        // Trimming is done here: the readers' own end trims rest on guesses (an mp3's length from its bit rate).
        let options = AudioDecoderOptions::default().gapless(false);
        let decoder = symphonia::default::get_codecs().make_audio_decoder(&params, &options).map_err(|error| {
            let what = match format {
                Format::Mp4Aac | Format::Adts => "this kind of AAC (only AAC-LC with one or two channels is)".into(),
                _ => format!("the codec of this {format} file ({error})"),
            };
            Stop::Fatal(self.job.error(unsupported(&what)))
        })?;
        self.format.get_or_insert(format);
        Ok(Codec::Symphonia(decoder))
    }

    fn check_channels(&self, channels: usize) -> Result<(), Stop> {
        if channels > MAX_CHANNELS {
            let error = self.job.limit("audio_channels", MAX_CHANNELS as u64, channels as u64);
            return Err(Stop::Fatal(error));
        }
        Ok(())
    }

    fn lose(&mut self, error: &DecoderError) {
        if self.lost_packets == 0 {
            self.first_loss = error.to_string();
        }
        self.lost_packets += 1;
    }

    /// Mixes one decoded packet down and hands the part to be heard to the sink.
    fn take(&mut self, rate_hz: u32, places: &Channels, packet: &Packet, clock: &mut Clock) -> Result<Next, Stop> {
        let channels = self.planes.len();
        if self.planes.first().is_none_or(Vec::is_empty) {
            return Ok(Next::Packet);
        }
        self.check_channels(channels)?;
        match &self.sink {
            None => {
                if !(MIN_RATE_HZ..=MAX_RATE_HZ).contains(&rate_hz) {
                    let problem = format!("its sample rate is {rate_hz} Hz, expected {MIN_RATE_HZ} to {MAX_RATE_HZ}");
                    return Err(Stop::Fatal(self.job.error(problem)));
                }
                self.channels = channels;
                let lanes = if self.job.wish.stereo { channels.min(2) } else { 1 };
                let sink = Sink::new(rate_hz, self.job.wish.rate_hz.of(rate_hz), lanes);
                self.mixed.resize_with(lanes, Vec::new);
                self.sink = Some(sink);
            }
            Some(sink) if sink.source_rate_hz != rate_hz => {
                let message = format!(
                    "the sample rate changes from {} to {rate_hz} Hz after {:.3} s, the rest is left out",
                    sink.source_rate_hz,
                    sink.seconds()
                );
                self.warn("rate-change", message);
                return Ok(Next::End);
            }
            Some(_) => {}
        }
        self.mix_down(places);
        let Some(sink) = &mut self.sink else { return Ok(Next::End) };

        let frames = self.mixed.first().map_or(0, Vec::len) as i64;
        let heard = clock.place(packet, frames, rate_hz, self.lost_packets);
        if heard.silence > 0 && sink.frames() > 0 {
            sink.push_silence(heard.silence);
            self.tail = 0;
        }
        self.trimmed_start += heard.delay;
        sink.push(&self.mixed, heard.from..heard.to);
        self.tail = if heard.padding > 0 { self.tail + heard.padding } else { 0 };

        let limit = self.job.wish.max_seconds;
        let reached = sink.seconds() - self.tail as f64 / f64::from(rate_hz);
        if reached > limit {
            let error = self.job.limit("audio_seconds", limit as u64, reached.ceil() as u64);
            return Err(Stop::Fatal(error));
        }
        sink.flush(self.tail.max(clock.tag_padding));
        Ok(if heard.end { Next::End } else { Next::Packet })
    }

    /// Fills `mixed` with the planes mixed down; what is not a number becomes 0.
    fn mix_down(&mut self, places: &Channels) {
        let mix = Mix::new(places, self.planes.len(), self.mixed.len());
        for (lane, mixed) in self.mixed.iter_mut().enumerate() {
            mix.run(lane, &self.planes, mixed);
            // Looked for without a short cut, so that it is vector code, because there hardly ever is any.
            if mixed.iter().fold(true, |fine, sample| fine & (sample.abs() <= MAX_SAMPLE)) {
                continue;
            }
            for sample in mixed {
                if sample.is_nan() || sample.abs() > MAX_SAMPLE {
                    *sample = 0.0;
                    self.non_finite += 1;
                }
            }
        }
    }

    /// Cuts the padding of a stream that ended as it said it would, and says where it did not.
    fn end_stream(&mut self, track: &Track, clock: &Clock, whole: bool) {
        let Some(sink) = &mut self.sink else { return };
        let tagged = track.num_frames.filter(|_| clock.tag_padding > 0 || clock.has_delay);
        if self.container == Container::Mp3 {
            // The padding is at the end only if the end is where the tag has it: files glued together have more frames.
            if tagged.is_some_and(|frames| clock.reached == frames as i64 + clock.tag_padding as i64) {
                self.tail = clock.tag_padding;
            }
        }
        if whole || self.container != Container::Ogg {
            sink.drop_last(self.tail);
        }
        self.tail = 0;
        let promised = match self.container {
            Container::Mp3 => tagged,
            Container::Wav | Container::Flac => track.num_frames,
            // These say themselves, with an error, that they end too early, or cannot know.
            Container::Ogg | Container::Mp4 | Container::Adts => None,
        };
        let missing = promised.and_then(|frames| i64::try_from(frames).ok()).map_or(0, |frames| frames - clock.reached);
        let seconds = missing as f64 / f64::from(sink.source_rate_hz);
        if missing > 0 && whole {
            self.warn("truncated", format!("the last {seconds:.3} s that its header promises are missing"));
        }
        if clock.gaps > 0 {
            let message = format!("parts of it are missing in {} places", clock.gaps);
            self.warnings.push(Warning { rule: "damaged", place: self.job.place(), message, count: clock.gaps });
        }
    }

    fn finish(mut self) -> Result<Sound> {
        let frames = self.sink.as_ref().map_or(0, Sink::frames);
        let (Some(sink), Some(format)) = (self.sink.take().filter(|_| frames > 0), self.format) else {
            let reason =
                self.warnings.first().map_or_else(|| self.first_loss.clone(), |warning| warning.message.clone());
            let reason = if reason.is_empty() { "it holds no sound".into() } else { reason };
            return Err(self.job.error(format!("nothing could be decoded: {reason}")));
        };
        if self.lost_packets > 0 {
            let message = format!("{} packets could not be decoded: {}", self.lost_packets, self.first_loss);
            let place = self.job.place();
            self.warnings.push(Warning { rule: "damaged", place, message, count: self.lost_packets });
        }
        if self.non_finite > 0 {
            let message = format!("{} samples are no numbers or absurdly large, read as 0", self.non_finite);
            let place = self.job.place();
            self.warnings.push(Warning { rule: "non-finite", place, message, count: self.non_finite });
        }
        let source_rate_hz = sink.source_rate_hz;
        Ok(Sound {
            lanes: sink.finish(),
            sample_rate_hz: self.job.wish.rate_hz.of(source_rate_hz),
            source_rate_hz,
            channels: self.channels,
            format,
            trimmed_start: self.trimmed_start,
            warnings: self.warnings,
        })
    }
}

/// What comes after a packet or a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Packet,
    Stream,
    End,
}

/// Which frames of a packet are to be heard.
struct Heard {
    from: usize,
    to: usize,
    /// Frames of encoder delay among those cut at the start.
    delay: u64,
    /// Frames at the end of the part that are padding if nothing follows.
    padding: usize,
    /// Frames of silence that stand for packets lost before this one.
    silence: usize,
    /// Nothing after this packet is to be heard.
    end: bool,
}

/// The clock of one track: turns packet times into frames and knows what is delay and padding.
struct Clock {
    container: Container,
    /// Seconds per tick, as a fraction.
    tick: (i64, i64),
    edit: Edit,
    has_delay: bool,
    tag_padding: usize,
    /// Position after the last frame decoded, in frames from the first to be heard.
    reached: i64,
    lost_before: u64,
    /// Places where the time stamps jump forward although no packet failed.
    gaps: u64,
    started: bool,
}

impl Clock {
    fn new(container: Container, track: &Track, bytes: &[u8]) -> Self {
        let tick = track.time_base.map_or((1, 1), |base| (i64::from(base.numer.get()), i64::from(base.denom.get())));
        let edit = if container == Container::Mp4 { mp4_edit(bytes, track.id) } else { Edit::default() };
        let tag_padding = if container == Container::Mp3 { track.padding.unwrap_or(0) as usize } else { 0 };
        Self {
            container,
            tick,
            edit,
            has_delay: track.delay.is_some(),
            tag_padding,
            reached: 0,
            lost_before: 0,
            gaps: 0,
            started: false,
        }
    }

    /// Ticks to frames at `rate_hz`, saturating: hostile time stamps may be anything.
    fn frames(&self, ticks: i64, rate_hz: u32) -> i64 {
        let frames = i128::from(ticks) * i128::from(self.tick.0) * i128::from(rate_hz) / i128::from(self.tick.1);
        i64::try_from(frames).unwrap_or(if frames < 0 { i64::MIN / 4 } else { i64::MAX / 4 })
    }

    fn place(&mut self, packet: &Packet, frames: i64, rate_hz: u32, lost: u64) -> Heard {
        let skip = self.frames(i64::try_from(self.edit.skip).unwrap_or(i64::MAX), rate_hz);
        let start = self.frames(packet.pts.get(), rate_hz).clamp(i64::MIN / 4, i64::MAX / 4) - skip;
        let newly_lost = i64::try_from(lost - self.lost_before).unwrap_or(i64::MAX);
        self.lost_before = lost;
        let gap = if self.started { start.saturating_sub(self.reached).max(0) } else { 0 };
        // Silence stands for packets that failed, and for FLAC frames that are missing, each of which knows its place.
        // Where Ogg pages are missing players join what is left, and the places of the pages behind are not exact.
        let blocks = if matches!(self.container, Container::Flac) { i64::MAX } else { newly_lost };
        let silence = gap.min(blocks.saturating_mul(MAX_BLOCK_FRAMES)).min(i64::from(rate_hz) * MAX_SILENCE_S);
        if gap > MIN_GAP_FRAMES && newly_lost == 0 {
            self.gaps += 1;
        }
        self.started = true;
        self.reached = start.saturating_add(frames);

        // The first Vorbis block after a start has no left half to lap with: its frames are no sound at all.
        let lap = if self.container == Container::Ogg {
            i64::try_from(packet.trim_start.get()).unwrap_or(i64::MAX).min(frames)
        } else {
            0
        };
        let from = (-start).clamp(lap, frames);
        let keep = self.edit.keep.map(|keep| self.frames(i64::try_from(keep).unwrap_or(i64::MAX), rate_hz));
        let to = keep.map_or(frames, |keep| keep.saturating_sub(start).clamp(from, frames));
        let padding = if self.container == Container::Ogg {
            i64::try_from(packet.trim_end.get()).unwrap_or(i64::MAX).min(to - from)
        } else {
            0
        };
        Heard {
            from: from as usize,
            to: to as usize,
            delay: (from - lap) as u64,
            padding: padding as usize,
            silence: silence as usize,
            end: to < frames,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The committed files of `tests/golden/audio`.
    fn golden() -> Vec<(String, Vec<u8>)> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/audio");
        let mut files: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| !matches!(path.extension().and_then(|suffix| suffix.to_str()), Some("py" | "json")))
            .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(&path).unwrap()))
            .collect();
        files.sort();
        assert_eq!(files.len(), 7);
        files.push(("tone.wav".into(), wav(&[0.25; 4_000], 44_100, 2)));
        files
    }

    /// A float wav file of interleaved samples.
    fn wav(samples: &[f32], rate_hz: u32, channels: u16) -> Vec<u8> {
        let data: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let mut file = b"RIFF".to_vec();
        file.extend((36 + data.len() as u32).to_le_bytes());
        file.extend(b"WAVEfmt ");
        file.extend(16_u32.to_le_bytes());
        file.extend(3_u16.to_le_bytes());
        file.extend(channels.to_le_bytes());
        file.extend(rate_hz.to_le_bytes());
        file.extend((rate_hz * 4 * u32::from(channels)).to_le_bytes());
        file.extend((4 * channels).to_le_bytes());
        file.extend(32_u16.to_le_bytes());
        file.extend(b"data");
        file.extend((data.len() as u32).to_le_bytes());
        file.extend(data);
        file
    }

    fn run(bytes: &[u8], sample_rate_hz: u32) -> Result<Decoded> {
        decode(Source::Bytes { name: "test", bytes }, &DecodeOptions { sample_rate_hz, max_seconds: 20.0 })
    }

    /// What holds for any input at all.
    fn check(bytes: &[u8]) -> Result<(), TestCaseError> {
        match run(bytes, 22_050) {
            Ok(decoded) => {
                prop_assert!(decoded.samples.iter().all(|sample| sample.is_finite()));
                prop_assert!(!decoded.samples.is_empty() || decoded.source_rate_hz > 22_050);
                prop_assert!(decoded.seconds <= 20.1);
                prop_assert!((1..=MAX_CHANNELS).contains(&decoded.channels));
            }
            Err(error) => {
                let sentence = error.to_string();
                prop_assert!(matches!(error, Error::Audio { .. } | Error::Limit { .. }), "{}", sentence);
                prop_assert!(sentence.starts_with("test: ") && !sentence.contains('\n'), "{}", sentence);
            }
        }
        Ok(())
    }

    #[test]
    fn the_delay_and_length_of_every_format_are_known() {
        for (name, bytes) in golden() {
            let decoded = run(&bytes, 22_050).unwrap();
            let delay = match name.as_str() {
                "tone.m4a" | "tone-smpb.m4a" => 1_024,
                "tone.mp3" => 1_105,
                _ => 0,
            };
            assert_eq!(decoded.trimmed_start_samples, delay, "{name}");
            assert!(decoded.warnings.is_empty(), "{name}: {:?}", decoded.warnings);
        }
    }

    #[test]
    fn a_missing_file_is_an_io_error_with_its_path() {
        let path = Path::new("no/such/song.ogg");
        let error = decode(Source::Path(path), &DecodeOptions::default()).unwrap_err();
        assert!(matches!(&error, Error::Io { path: found, .. } if found == path));
    }

    proptest! {
        #[test]
        fn mono_of_any_rate_has_the_length_of_the_ratio(
            frames in 1_usize..5_000, channels in 1_u16..=8, from in MIN_RATE_HZ..=MAX_RATE_HZ, to in MIN_RATE_HZ..=48_000,
        ) {
            // Rates in whole hundreds, as any rate in use is a multiple of 25: primes would need long transforms.
            let (from, to) = (from / 100 * 100, to / 100 * 100);
            let decoded = run(&wav(&vec![0.5; frames * usize::from(channels)], from, channels), to).unwrap();
            let expected = (frames as f64 * f64::from(to) / f64::from(from)).round();
            prop_assert_eq!(decoded.samples.len() as f64, expected);
            prop_assert_eq!(decoded.channels, usize::from(channels));
            prop_assert!(decoded.samples.iter().all(|sample| sample.abs() < 0.7));
        }

        #[test]
        fn mixing_is_the_mean_of_the_channels(channels in 1_u16..=8, values in prop::collection::vec(-1.0_f32..1.0, 8)) {
            let frame = &values[..usize::from(channels)];
            let mean = frame.iter().sum::<f32>() / f32::from(channels);
            let decoded = run(&wav(&frame.repeat(50), 22_050, channels), 22_050).unwrap();
            prop_assert_eq!(decoded.samples.len(), 50);
            prop_assert!(decoded.samples.iter().all(|sample| (sample - mean).abs() < 1e-6));
        }

        #[test]
        fn any_bytes_are_sound_or_a_sentence(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
            check(&bytes)?;
        }

        #[test]
        fn any_bytes_behind_any_magic_are_sound_or_a_sentence(
            magic in prop::sample::select(vec![
                &b"RIFF\0\x10\0\0WAVEfmt \x10\0\0\0"[..], b"OggS\0\x02", b"fLaC\0\0\0\x22", b"\0\0\0\x18ftypM4A ", b"\xff\xfb\x90\x44",
                b"\xff\xf1\x50\x80", b"ID3\x03\0\0\0\0\0\x05abcde",
            ]),
            bytes in prop::collection::vec(any::<u8>(), 0..2_000),
        ) {
            check(&[magic, &bytes[..]].concat())?;
        }

        #[test]
        fn damaged_files_are_sound_or_a_sentence(
            which in 0_usize..8,
            hits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
            (cut, hole, twice) in (any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0_usize..60),
            whole in any::<bool>(),
        ) {
            let mut bytes = golden().swap_remove(which).1;
            for (at, value) in hits {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            if !whole {
                bytes.truncate(cut.index(bytes.len()));
                let at = hole.index(bytes.len() + 1);
                let piece = bytes[at..(at + twice).min(bytes.len())].to_vec();
                bytes.splice(at..at, piece);
            }
            check(&bytes)?;
        }
    }
}
