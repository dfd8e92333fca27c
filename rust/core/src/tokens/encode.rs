//! From a level to tokens: what is in the window goes onto the grid, what cannot be said is counted.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::*;
use crate::map::{Arc, Bomb, Boost, Chain, Difficulty, Extra, Light, Note, Obstacle, RANKS};
use crate::timing::round;

/// How far beats were moved onto the grid.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Snapped {
    /// Beats (of heads and tails) moved by more than a thousandth of a beat.
    pub count: u64,
    /// The largest move in beats.
    pub max_error_beats: f64,
}

/// A level, or a window of one, in tokens, and an account of what the tokens do not say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Encoded {
    /// START … END.
    pub tokens: Vec<u16>,
    /// Beat at which the first BAR begins.
    pub first_beat: f64,
    /// Content that is not in the tokens, by reason.
    pub out_of_vocabulary: BTreeMap<&'static str, u64>,
    /// Content that is in the tokens with another value than the level's, the nearest there is, by reason.
    pub rounded: BTreeMap<&'static str, u64>,
    /// Moves of beats.
    pub snapped: Snapped,
    /// Objects that lie outside of the window.
    pub outside: u64,
}

/// One object or event of an onset: its tokens after the first lie in `Encoder::fields`.
#[derive(Clone, Copy)]
struct Record {
    at: u32,
    len: u16,
}

struct Encoder<'a> {
    vocab: &'a Vocab,
    /// Ticks of the window.
    window: Range<i64>,
    /// Tick of the first BAR.
    origin: i64,
    /// Sort keys: tick from `origin`, then id of the first token, then index into `records`.
    keys: Vec<u64>,
    records: Vec<Record>,
    fields: Vec<u16>,
    out: Encoded,
}

/// Ticks of the longest sequence.
const LAST_TICK: i64 = BARS_MAX as i64 * TICKS_PER_BAR as i64;
/// Refusal of an object that is not asked for; any other reason is counted as out of vocabulary.
const OUTSIDE: &str = "outside";
const KEY_INDEX_BITS: u32 = 28;
const KEY_ID_BITS: u32 = 16;

impl Vocab {
    /// The objects of `difficulty` whose snapped beat lies in `start_beat..end_beat`, as tokens.
    ///
    /// Bars are multiples of four beats of the level's axis; the first BAR is the one that holds `start_beat` (0 when it is
    /// negative or no number). With a finite `end_beat` there is a BAR for every bar of the window, with an infinite one up
    /// to the last object. `rank` is 1, 3, 5, 7 or 9; another is rounded to the nearest and counted.
    pub fn encode(&self, difficulty: &Difficulty, rank: i32, start_beat: f64, end_beat: f64) -> Encoded {
        let bound = |beat: f64| (beat * f64::from(TICKS_PER_BEAT)).round().clamp(0.0, 1e15) as i64;
        let start = bound(start_beat);
        let origin = start - start % i64::from(TICKS_PER_BAR);
        let window = start..bound(if end_beat.is_nan() { 0.0 } else { end_beat });
        let mut e = Encoder {
            vocab: self,
            origin,
            keys: Vec::with_capacity(difficulty.notes.len() + difficulty.lights.len()),
            records: Vec::new(),
            fields: Vec::new(),
            out: Encoded { first_beat: origin as f64 / f64::from(TICKS_PER_BEAT), ..Encoded::default() },
            window,
        };
        let steps = (f64::from(rank) - 1.0) / 2.0;
        let step = steps.round().clamp(0.0, (RANKS.len() - 1) as f64);
        e.round_if(steps != step, "difficulty-rank");
        e.out.tokens.extend([START, self.id(Kind::Difficulty, step as u16)]);
        match self.content {
            Content::Lights => e.take_lights(difficulty),
            Content::Notes | Content::Full => e.take_objects(difficulty),
        }
        e.keys.sort_unstable();
        let mut bars = e.write_onsets();
        if end_beat.is_finite() && !e.window.is_empty() && e.window.end - e.origin <= LAST_TICK {
            while e.origin + bars * i64::from(TICKS_PER_BAR) < e.window.end {
                e.out.tokens.push(self.id(Kind::Bar, 0));
                bars += 1;
            }
        }
        e.out.tokens.push(END);
        e.out
    }
}

impl Encoder<'_> {
    fn lose(&mut self, reason: &'static str, count: usize) {
        if count > 0 {
            *self.out.out_of_vocabulary.entry(reason).or_default() += count as u64;
        }
    }

    fn round_if(&mut self, moved: bool, reason: &'static str) {
        if moved {
            *self.out.rounded.entry(reason).or_default() += 1;
        }
    }

    /// Tick of `beat`, on the grid of the vocabulary.
    fn tick(&self, beat: f64) -> i64 {
        let parts = if self.vocab.content == Content::Notes { TICKS_PER_POS } else { 1 };
        let (ticks, parts) = (f64::from(TICKS_PER_BEAT), f64::from(parts));
        (round(beat * (ticks / parts)) * parts).clamp(-1e14, 1e14) as i64
    }

    fn snap(&mut self, beat: f64, tick: i64) {
        let error = (tick as f64 / f64::from(TICKS_PER_BEAT) - beat).abs();
        let snapped = &mut self.out.snapped;
        snapped.count += u64::from(error > NOISE);
        snapped.max_error_beats = snapped.max_error_beats.max(error);
    }

    /// Tick of a head that lies in the window.
    fn head(&self, beat: f64) -> Result<i64, &'static str> {
        let tick = self.tick(beat);
        match tick {
            _ if !beat.is_finite() => Err("beat-not-finite"),
            ..0 if self.window.start == 0 => Err("beat-before-0"),
            tick if !self.window.contains(&tick) => Err(OUTSIDE),
            tick if tick - self.origin >= LAST_TICK => Err("beat-too-late"),
            tick => Ok(tick),
        }
    }

    /// Tokens of the way from `tick` to `tail_beat`; `None` when it is not 1 tick to 64 beats long.
    fn span(&mut self, tick: i64, tail_beat: f64) -> Option<[u16; 2]> {
        if !tail_beat.is_finite() {
            return None;
        }
        let tail = self.tick(tail_beat);
        let ticks = u16::try_from(tail - tick).ok()?;
        if !(1..SPAN_BEATS * TICKS_PER_BEAT).contains(&ticks) {
            return None;
        }
        self.snap(tail_beat, tail);
        Some(self.span_tokens(ticks))
    }

    fn span_tokens(&self, ticks: u16) -> [u16; 2] {
        let beats = self.vocab.id(Kind::SpanBeats, ticks / TICKS_PER_BEAT);
        [beats, self.vocab.id(Kind::SpanTicks, ticks % TICKS_PER_BEAT)]
    }

    /// Value of `kind` nearest to `value` where 0 is `min` and a step is 0.05.
    fn stepped(&mut self, kind: Kind, value: f64, min: f64, reason: &'static str) -> u16 {
        let step = round((value - min) * STEPS_PER_UNIT).clamp(0.0, f64::from(kind.size() - 1));
        let exact = (min * STEPS_PER_UNIT + step) / STEPS_PER_UNIT;
        // NaN is no value of a level; it becomes the smallest.
        self.round_if((value - exact).abs() > NOISE || value.is_nan(), reason);
        self.vocab.id(kind, step as u16)
    }

    /// Adds a record that opens with `id` at `tick`; `beat` is where the level has it.
    fn push(&mut self, beat: f64, tick: i64, id: u16, fields: &[u16]) {
        self.snap(beat, tick);
        let index = self.records.len() as u64;
        let at = self.fields.len() as u32;
        self.fields.extend_from_slice(fields);
        self.records.push(Record { at, len: fields.len() as u16 });
        let offset = (tick - self.origin) as u64;
        self.keys.push(offset << (KEY_ID_BITS + KEY_INDEX_BITS) | u64::from(id) << KEY_INDEX_BITS | index);
    }

    /// Takes every row; what `take` refuses is counted.
    fn each<T>(&mut self, rows: &[T], take: impl Fn(&mut Self, &T) -> Result<(), &'static str>) {
        for row in rows {
            match take(self, row) {
                Ok(()) => {}
                Err(OUTSIDE) => self.out.outside += 1,
                Err(reason) => self.lose(reason, 1),
            }
        }
    }

    fn take_objects(&mut self, d: &Difficulty) {
        self.each(&d.notes, Self::take_note);
        if self.vocab.content == Content::Full {
            self.each(&d.bombs, Self::take_bomb);
            self.each(&d.obstacles, Self::take_wall);
            self.each(&d.arcs, Self::take_arc);
            self.each(&d.chains, Self::take_chain);
        } else {
            self.lose("bombs", d.bombs.len());
            self.lose("walls", d.obstacles.len());
            self.lose("arcs", d.arcs.len());
            self.lose("chains", d.chains.len());
        }
        let fakes = &d.fakes;
        self.lose("fakes", fakes.notes.len() + fakes.bombs.len() + fakes.obstacles.len() + fakes.chains.len());
        self.lose("rotations", d.rotations.len());
        self.lose("njs-events", d.njs_events.len());
        self.lose("strays", d.strays.len());
        self.lose("level-data", usize::from(!d.extra.is_empty()));
    }

    fn take_note(&mut self, note: &Note) -> Result<(), &'static str> {
        let tick = self.head(note.beat)?;
        let cell = cell(note.x, note.y).ok_or("note-cell")?;
        let cut = small(note.cut, CUTS).ok_or("note-direction")?;
        let right = small(note.color, 2).ok_or("note-color")? == 1;
        self.lose_extras(&note.extra, note.lane != 0);
        let id = self.vocab.id(if right { Kind::Right } else { Kind::Left }, cell * CUTS + cut);
        let degrees = note.angle.rem_euclid(360);
        // Steps counter-clockwise, −11 … 12.
        let turn = (degrees + ANGLE_STEP / 2) / ANGLE_STEP % 24;
        let turn = if turn > 12 { turn - 24 } else { turn };
        if self.vocab.content == Content::Notes {
            self.lose("note-angle", usize::from(degrees != 0));
            self.push(note.beat, tick, id, &[]);
            return Ok(());
        }
        self.round_if(degrees % ANGLE_STEP != 0, "note-angle");
        if turn == 0 {
            self.push(note.beat, tick, id, &[]);
        } else {
            let value = if turn > 0 { turn + 10 } else { turn + 11 };
            let angle = self.vocab.id(if right { Kind::RightAngle } else { Kind::LeftAngle }, value as u16);
            self.push(note.beat, tick, id, &[angle]);
        }
        Ok(())
    }

    fn take_bomb(&mut self, bomb: &Bomb) -> Result<(), &'static str> {
        let tick = self.head(bomb.beat)?;
        let cell = cell(bomb.x, bomb.y).ok_or("bomb-cell")?;
        self.lose_extras(&bomb.extra, bomb.lane != 0);
        self.push(bomb.beat, tick, self.vocab.id(Kind::Bomb, cell), &[]);
        Ok(())
    }

    fn take_wall(&mut self, wall: &Obstacle) -> Result<(), &'static str> {
        let tick = self.head(wall.beat)?;
        let shape = [wall.x, wall.y, wall.width, wall.height];
        let shape = wall_shapes().position(|s| s == shape).ok_or("wall-shape")?;
        // NaN is no length either.
        if wall.duration_beats.is_nan() || wall.duration_beats <= 0.0 {
            return Err("wall-length");
        }
        self.lose_extras(&wall.extra, wall.lane != 0);
        let end = wall.beat + wall.duration_beats;
        let span = match self.span(tick, end) {
            Some(span) => span,
            None => {
                self.round_if(true, "wall-length");
                self.span_tokens(if self.tick(end) > tick { SPAN_BEATS * TICKS_PER_BEAT - 1 } else { 1 })
            }
        };
        self.push(wall.beat, tick, self.vocab.id(Kind::Wall, shape as u16), &span);
        Ok(())
    }

    fn take_arc(&mut self, arc: &Arc) -> Result<(), &'static str> {
        let vocab = self.vocab;
        let tick = self.head(arc.beat)?;
        let head = cell(arc.x, arc.y).ok_or("arc-cell")?;
        let tail = cell(arc.tail_x, arc.tail_y).ok_or("arc-cell")?;
        let cut = small(arc.cut, CUTS).ok_or("arc-direction")?;
        let tail_cut = small(arc.tail_cut, CUTS).ok_or("arc-direction")?;
        let hand = small(arc.color, 2).ok_or("arc-color")?;
        let mid_anchor = small(arc.mid_anchor, Kind::MidAnchor.size()).ok_or("arc-mid-anchor")?;
        let [beats, ticks] = self.span(tick, arc.tail_beat).ok_or("arc-tail")?;
        self.lose_extras(&arc.extra, arc.lane != 0 || arc.tail_lane != 0);
        let kind = [Kind::ArcLeft, Kind::ArcRight][usize::from(hand)];
        let fields = [
            beats,
            ticks,
            vocab.id(Kind::ArcTail, tail * CUTS + tail_cut),
            self.stepped(Kind::ArcMultiplier, arc.multiplier, MULTIPLIER_MIN, "arc-multiplier"),
            self.stepped(Kind::ArcMultiplier, arc.tail_multiplier, MULTIPLIER_MIN, "arc-multiplier"),
            vocab.id(Kind::MidAnchor, mid_anchor),
        ];
        self.push(arc.beat, tick, vocab.id(kind, head * CUTS + cut), &fields);
        Ok(())
    }

    fn take_chain(&mut self, chain: &Chain) -> Result<(), &'static str> {
        let vocab = self.vocab;
        let tick = self.head(chain.beat)?;
        let head = cell(chain.x, chain.y).ok_or("chain-cell")?;
        let tail = cell(chain.tail_x, chain.tail_y).ok_or("chain-cell")?;
        let cut = small(chain.cut, CUTS).ok_or("chain-direction")?;
        let hand = small(chain.color, 2).ok_or("chain-color")?;
        let span = if head == tail { None } else { self.span(tick, chain.tail_beat) };
        let [beats, ticks] = span.ok_or("chain-tail")?;
        self.lose_extras(&chain.extra, chain.lane != 0 || chain.tail_lane != 0);
        let slices = chain.slices.clamp(1, i32::from(SLICES));
        self.round_if(slices != chain.slices, "chain-slices");
        let kind = [Kind::ChainLeft, Kind::ChainRight][usize::from(hand)];
        let fields = [
            beats,
            ticks,
            vocab.id(Kind::ChainTail, tail),
            vocab.id(Kind::Slices, slices as u16 - 1),
            self.stepped(Kind::Squish, chain.squish, squish(0), "chain-squish"),
            // No token, but what the direction of the note at the head must be.
            cut,
        ];
        self.push(chain.beat, tick, vocab.id(kind, head), &fields);
        Ok(())
    }

    fn take_lights(&mut self, d: &Difficulty) {
        self.each(&d.boosts, Self::take_boost);
        self.each(&d.lights, Self::take_light);
        self.lose("group-lighting", d.groups.iter().flat_map(|g| &g.boxes).map(|b| b.events.len()).sum());
        self.lose("waypoints", d.waypoints.len());
        self.lose("keywords", d.keywords.len());
        self.lose("level-data", usize::from(!d.light_extra.is_empty()));
    }

    fn take_boost(&mut self, boost: &Boost) -> Result<(), &'static str> {
        let tick = self.head(boost.beat)?;
        self.lose_extras(&boost.extra, false);
        self.push(boost.beat, tick, self.vocab.id(Kind::Boost, u16::from(boost.on)), &[]);
        Ok(())
    }

    fn take_light(&mut self, event: &Light) -> Result<(), &'static str> {
        let vocab = self.vocab;
        let tick = self.head(event.beat)?;
        let kind = EVENT_TYPES.iter().position(|&t| t == event.kind).ok_or("event-type")?;
        let light = LIGHT_TYPES.contains(&event.kind);
        let value = match event.value {
            CHROMA_RGB.. => return Err("old-chroma-color"),
            value if value < 0 || (light && value >= i32::from(LIGHT_VALUES)) => return Err("event-value"),
            value => value.min(i32::from(EVENT_VALUES) - 1),
        };
        let (color, light_ids) = self.chroma(&event.extra, light)?;
        self.round_if(value != event.value, "event-value");
        let mut fields = [0; 6 + LIGHT_IDS_MAX];
        let mut len = 0;
        let mut add = |id: u16| {
            fields[len] = id;
            len += 1;
        };
        add(vocab.id(Kind::Value, value as u16));
        if light {
            let step = round(event.brightness * STEPS_PER_UNIT).clamp(0.0, f64::from(BRIGHTNESSES));
            let moved = (step / STEPS_PER_UNIT - event.brightness).abs() > NOISE || event.brightness.is_nan();
            self.round_if(moved, "brightness");
            if step != STEPS_PER_UNIT {
                let value = if step > STEPS_PER_UNIT { step - 1.0 } else { step };
                add(vocab.id(Kind::Brightness, value as u16));
            }
        } else {
            self.lose("brightness-of-no-light", usize::from(event.brightness != 1.0));
        }
        for level in color.into_iter().flatten() {
            add(vocab.id(Kind::Color, level));
        }
        for light_id in light_ids {
            add(vocab.id(Kind::LightId, light_id));
        }
        self.push(event.beat, tick, vocab.id(Kind::Event, kind as u16), &fields[..len]);
        Ok(())
    }

    /// Levels of the colour and light ids of an event's custom data; the rest is counted. Without its ids an event would
    /// mean every light, so ids that cannot be said take the event with them.
    fn chroma(&mut self, extra: &Extra, light: bool) -> Result<(Option<[u16; 4]>, Vec<u16>), &'static str> {
        if extra.is_empty() {
            return Ok((None, Vec::new()));
        }
        let text = format!("{{{}}}", extra.own());
        let parsed = Part { root: true }.deserialize(&mut serde_json::Deserializer::from_str(&text));
        let Ok(Said::Object(said)) = parsed else { return Err("custom-data") };
        let Chroma { color, light_ids, other } = said;
        if !light {
            self.lose("custom-data", usize::from(other || color.is_some() || light_ids.is_some()));
            return Ok((None, Vec::new()));
        }
        let ids = light_ids.map_or(Some(Vec::new()), |ids| sayable_ids(&ids)).ok_or("light-ids")?;
        self.lose("custom-data", usize::from(other || !extra.data().is_empty()));
        if let Some(channels) = color {
            let exact = |&c: &f64| (color_value(color_level(c)) - c).abs() <= NOISE;
            self.round_if(!channels.iter().all(exact), "color");
        }
        Ok((color.map(|c| c.map(color_level)), ids))
    }

    fn lose_extras(&mut self, extra: &Extra, lane: bool) {
        self.lose("rotation-lanes", usize::from(lane));
        if !extra.is_empty() {
            let says = |(key, value): (&String, &Value)| match (key.as_str(), value) {
                ("customData" | "_customData", Value::Object(custom)) => !custom.is_empty(),
                (key, _) => !MEANINGLESS.contains(&key),
            };
            let says = extra.members().iter().any(says) || !extra.data().is_empty();
            self.lose("custom-data", usize::from(says));
        }
    }

    /// Writes everything taken, onset by onset; returns how many bars were opened.
    fn write_onsets(&mut self) -> i64 {
        let keys = std::mem::take(&mut self.keys);
        let tick_of = |key: &u64| key >> (KEY_ID_BITS + KEY_INDEX_BITS);
        let mut bars = 0;
        for onset in keys.chunk_by(|a, b| tick_of(a) == tick_of(b)) {
            let tick = tick_of(&onset[0]);
            let (mark, bars_before) = (self.out.tokens.len(), bars);
            while bars <= (tick / u64::from(TICKS_PER_BAR)) as i64 {
                self.out.tokens.push(self.vocab.id(Kind::Bar, 0));
                bars += 1;
            }
            let tick = (tick % u64::from(TICKS_PER_BAR)) as u16;
            self.out.tokens.push(self.vocab.id(Kind::Pos, tick / TICKS_PER_POS));
            if !tick.is_multiple_of(TICKS_PER_POS) {
                self.out.tokens.push(self.vocab.id(Kind::Nudge, tick % TICKS_PER_POS - 1));
            }
            let said = match self.vocab.content {
                Content::Lights => self.write_events(onset),
                Content::Notes | Content::Full => self.write_objects(onset),
            };
            if !said {
                self.out.tokens.truncate(mark);
                bars = bars_before;
            }
        }
        bars
    }

    fn record(&self, key: u64) -> (u16, usize, Record) {
        let index = (key & ((1 << KEY_INDEX_BITS) - 1)) as usize;
        ((key >> KEY_INDEX_BITS) as u16, index, self.records[index])
    }

    fn fields(&self, record: Record) -> Range<usize> {
        record.at as usize..record.at as usize + usize::from(record.len)
    }

    /// Notes and all that goes with them; `false` when there was nothing to say.
    fn write_objects(&mut self, onset: &[u64]) -> bool {
        let vocab = self.vocab;
        let [left, right] = [vocab.range(Kind::Left), vocab.range(Kind::Right)];
        let notes = onset.partition_point(|&key| self.record(key).0 < right.end);
        let (notes, rest) = onset.split_at(notes);
        let cell_of = |id: u16| usize::from((if id < left.end { id - left.start } else { id - right.start }) / CUTS);
        // Of several notes in one cell the level's first stays.
        let mut first = [usize::MAX; CELLS as usize];
        for &key in notes {
            let (id, index, _) = self.record(key);
            let cell = cell_of(id);
            first[cell] = first[cell].min(index);
        }
        let mut occupied = 0_u16;
        let mut heads = [[None; CELLS as usize]; 2];
        for &key in notes {
            let (id, index, record) = self.record(key);
            let (cell, hand) = (cell_of(id), usize::from(id >= right.start));
            if first[cell] == index {
                occupied |= 1 << cell;
                heads[hand][cell] = Some((id, record));
            } else {
                self.lose("same-cell", 1);
            }
        }
        let mut said = false;
        let mut primary = [None; 2];
        for hand in 0..2 {
            primary[hand] = heads[hand].iter().position(Option::is_some);
            let empty = [Kind::LeftEmpty, Kind::RightEmpty][hand];
            let id = primary[hand].and_then(|cell| heads[hand][cell]).map_or(vocab.id(empty, 0), |(id, _)| id);
            self.out.tokens.push(id);
            said |= primary[hand].is_some();
        }
        for hand in 0..2 {
            let more = [Kind::MoreLeft, Kind::MoreRight][hand];
            let start = [left.start, right.start][hand];
            for (cell, &head) in heads[hand].iter().enumerate() {
                let Some((id, record)) = head else { continue };
                if primary[hand] != Some(cell) {
                    if vocab.content == Content::Notes {
                        self.lose("further-notes", 1);
                        continue;
                    }
                    self.out.tokens.push(vocab.id(more, id - start));
                }
                let fields = self.fields(record);
                self.out.tokens.extend_from_slice(&self.fields[fields]);
            }
        }
        let same_id = |a: &u64, b: &u64| a >> KEY_INDEX_BITS == b >> KEY_INDEX_BITS;
        for group in rest.chunk_by(same_id) {
            said |= self.write_rest(group, &heads, &mut occupied);
        }
        said
    }

    /// A bomb, wall, arc or chain: `group` holds those that open with the same token, of which one can be said.
    fn write_rest(&mut self, group: &[u64], heads: &Heads, occupied: &mut u16) -> bool {
        let vocab = self.vocab;
        let (id, _, mut record) = self.record(group[0]);
        let Some((kind, value)) = vocab.kind_of(id) else { return false };
        let hand = usize::from(matches!(kind, Kind::ArcRight | Kind::ChainRight));
        let refused = match kind {
            Kind::Bomb => {
                self.lose("same-cell", group.len() - 1);
                let taken = *occupied & 1 << value != 0;
                *occupied |= 1 << value;
                taken.then_some("same-cell")
            }
            Kind::Wall => {
                self.lose("same-wall", group.len() - 1);
                // The longest covers the others; the ids of a span grow with it.
                for &key in &group[1..] {
                    let other = self.record(key).2;
                    if self.fields[self.fields(other)] > self.fields[self.fields(record)] {
                        record = other;
                    }
                }
                None
            }
            Kind::ArcLeft | Kind::ArcRight => {
                self.lose("same-arc", group.len() - 1);
                let cell = usize::from(value / CUTS);
                (*occupied & 1 << cell != 0 && heads[hand][cell].is_none()).then_some("arc-on-other")
            }
            _ => {
                self.lose("same-chain", group.len() - 1);
                let start = vocab.range([Kind::Left, Kind::Right][hand]).start;
                match heads[hand][usize::from(value)] {
                    None => Some("chain-without-note"),
                    Some((note, _)) => {
                        record.len -= 1;
                        ((note - start) % CUTS != self.fields[self.fields(record).end]).then_some("chain-direction")
                    }
                }
            }
        };
        if let Some(reason) = refused {
            self.lose(reason, 1);
            return false;
        }
        self.out.tokens.push(id);
        let fields = self.fields(record);
        self.out.tokens.extend_from_slice(&self.fields[fields]);
        true
    }

    /// Boosts and events; `false` when there was nothing to say.
    fn write_events(&mut self, onset: &[u64]) -> bool {
        let event = self.vocab.range(Kind::Event).start;
        let boosts = onset.partition_point(|&key| self.record(key).0 < event);
        let (boosts, events) = onset.split_at(boosts);
        if let Some(&last) = boosts.iter().max_by_key(|&&key| self.record(key).1) {
            self.out.tokens.push(self.record(last).0);
            self.lose("same-boost", boosts.len() - 1);
        }
        let said = events.len().min(usize::from(EVENTS_PER_ONSET_MAX));
        self.lose("events-per-onset", events.len() - said);
        for &key in &events[..said] {
            let (id, _, record) = self.record(key);
            self.out.tokens.push(id);
            let fields = self.fields(record);
            self.out.tokens.extend_from_slice(&self.fields[fields]);
        }
        true
    }
}

/// Notes of an onset by hand and cell: the token of the note and its record.
type Heads = [[Option<(u16, Record)>; CELLS as usize]; 2];

/// Members that a file of another kind of event needs and that mean nothing here.
const MEANINGLESS: [&str; 3] = ["_value", "_floatValue", "_cutDirection"];

fn small(value: i32, size: u16) -> Option<u16> {
    u16::try_from(value).ok().filter(|&v| v < size)
}

fn cell(x: i32, y: i32) -> Option<u16> {
    Some(small(x, COLUMNS)? * ROWS + small(y, ROWS)?)
}

/// Chroma's light ids in order; `None` when some cannot be said.
fn sayable_ids(ids: &[f64]) -> Option<Vec<u16>> {
    let sayable = |n: &f64| n.fract() == 0.0 && (0.0..f64::from(LIGHT_IDS)).contains(n);
    let mut ids = ids.iter().map(|n| sayable(n).then_some(*n as u16)).collect::<Option<Vec<u16>>>()?;
    ids.sort_unstable();
    ids.dedup();
    (1..=LIGHT_IDS_MAX).contains(&ids.len()).then_some(ids)
}

/// What the custom data of an event says to Chroma.
#[derive(Default)]
struct Chroma {
    /// Red, green, blue and alpha; alpha may be left out.
    color: Option<[f64; 4]>,
    /// One id or a list; NaN where it is no number.
    light_ids: Option<Vec<f64>>,
    /// There is more.
    other: bool,
}

/// A JSON value as far as [`Chroma`] wants to know. Levels hold a hundred thousand of these, so they are read without
/// building the tree of their values.
enum Said {
    Number(f64),
    List(Vec<f64>),
    Object(Chroma),
    Other,
}

#[derive(Clone, Copy)]
struct Part {
    /// The members of the event itself, of which only the custom data count.
    root: bool,
}

impl<'de> DeserializeSeed<'de> for Part {
    type Value = Said;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Said, D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Part {
    type Value = Said;
    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }
    fn visit_u64<E>(self, v: u64) -> Result<Said, E> {
        Ok(Said::Number(v as f64))
    }
    fn visit_i64<E>(self, v: i64) -> Result<Said, E> {
        Ok(Said::Number(v as f64))
    }
    fn visit_f64<E>(self, v: f64) -> Result<Said, E> {
        Ok(Said::Number(v))
    }
    fn visit_bool<E>(self, _: bool) -> Result<Said, E> {
        Ok(Said::Other)
    }
    fn visit_unit<E>(self) -> Result<Said, E> {
        Ok(Said::Other)
    }
    fn visit_str<E>(self, _: &str) -> Result<Said, E> {
        Ok(Said::Other)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Said, A::Error> {
        let mut list = Vec::with_capacity(4);
        while let Some(item) = seq.next_element_seed(Part { root: false })? {
            list.push(if let Said::Number(n) = item { n } else { f64::NAN });
        }
        Ok(Said::List(list))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Said, A::Error> {
        let mut said = Chroma::default();
        while let Some(name) = map.next_key::<Name>()? {
            match (name, map.next_value_seed(Part { root: false })?) {
                (Name::Custom, Said::Object(custom)) if self.root => {
                    let other = said.other | custom.other;
                    said = Chroma { other, ..custom };
                }
                (Name::Meaningless, _) if self.root => {}
                (Name::Color, Said::List(list)) if !self.root && (3..=4).contains(&list.len()) => {
                    let mut channels = [1.0; 4];
                    channels.iter_mut().zip(&list).for_each(|(to, &from)| *to = from);
                    if channels.iter().any(|c| c.is_nan()) {
                        said.other = true;
                    } else {
                        said.color = Some(channels);
                    }
                }
                (Name::LightId, Said::List(list)) if !self.root => said.light_ids = Some(list),
                (Name::LightId, Said::Number(one)) if !self.root => said.light_ids = Some(vec![one]),
                (Name::LightId, _) if !self.root => said.light_ids = Some(vec![f64::NAN]),
                _ => said.other = true,
            }
        }
        Ok(Said::Object(said))
    }
}

/// Name of a member.
enum Name {
    Custom,
    Color,
    LightId,
    Meaningless,
    Other,
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Name;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a name")
            }
            fn visit_str<E>(self, name: &str) -> Result<Name, E> {
                Ok(match name {
                    "customData" | "_customData" => Name::Custom,
                    "color" | "_color" => Name::Color,
                    "lightID" | "_lightID" => Name::LightId,
                    name if MEANINGLESS.contains(&name) => Name::Meaningless,
                    _ => Name::Other,
                })
            }
        }
        d.deserialize_identifier(Text)
    }
}
