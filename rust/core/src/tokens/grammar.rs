//! What may follow: one state machine behind [`Grammar`] and [`Vocab::decode`].

use std::ops::Range;

use serde_json::{Value, json};

use super::*;
use crate::map::{Arc, Bomb, Boost, Chain, Difficulty, Extra, Light, Note, Obstacle};
use crate::{Error, Result};

// ---------------------------------------------------------------------------------------------------------- state

/// What a sequence waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Start,
    Difficulty,
    /// Statistics, or the first bar.
    Header,
    /// The next thing of an onset, or the next onset or bar.
    Onset,
    /// The NUDGE or the first thing of an onset.
    Pos,
    /// The first thing of an onset.
    Nudge,
    Right,
    SpanBeats,
    SpanTicks,
    ArcTail,
    HeadMultiplier,
    TailMultiplier,
    MidAnchor,
    ChainTail,
    Slices,
    Squish,
    Value,
    /// As many channels of a colour.
    Color(u8),
    Done,
}

/// One sequence in progress: enough to tell what may follow.
#[derive(Clone, Copy, Debug)]
struct State {
    stage: Stage,
    bars: u16,
    /// Tick of the latest POS with its NUDGE, and the first tick of the bar after the latest onset.
    tick: u16,
    free: u16,
    /// An onset is open; it has said nothing yet.
    open: bool,
    silent: bool,
    /// Lowest id that may open the next object of the onset, or tell the next statistic.
    bound: u16,
    /// Lowest id of the next detail of a light; `u16::MAX` when there is none to tell.
    detail: u16,
    /// Cells with a note of each hand, and with any object.
    hands: [u16; 2],
    occupied: u16,
    /// Lowest cell of a further note, by hand; `CELLS` when there can be none.
    more: [u16; 2],
    /// An angle may be given to the hand's latest note.
    angle: [bool; 2],
    /// Kind and value of the token that opened the current object.
    head: (Kind, u16),
    /// Whole beats of the current span.
    span: u16,
    /// Events of the onset, light ids of the event.
    events: u16,
    ids: u16,
}

impl State {
    const NEW: Self = Self {
        stage: Stage::Start,
        bars: 0,
        tick: 0,
        free: 0,
        open: false,
        silent: false,
        bound: 0,
        detail: u16::MAX,
        hands: [0; 2],
        occupied: 0,
        more: [CELLS; 2],
        angle: [false; 2],
        head: (Kind::Start, 0),
        span: 0,
        events: 0,
        ids: 0,
    };

    /// Calls `allow` with every range of ids that may follow; ranges may be empty, but never all of them.
    fn allowed(&self, vocab: &Vocab, mut allow: impl FnMut(Range<u16>)) {
        let all = |kind| vocab.range(kind);
        let from = |kind, value: u16| {
            let ids = vocab.range(kind);
            (ids.start + value).min(ids.end)..ids.end
        };
        match self.stage {
            Stage::Start => allow(all(Kind::Start)),
            Stage::Difficulty => allow(all(Kind::Difficulty)),
            Stage::Header => {
                allow(all(Kind::End));
                allow(all(Kind::Bar));
                let (first, last) = (all(Kind::StatNotes), all(Kind::StatChains));
                allow(first.start.max(self.bound).min(last.end)..last.end);
            }
            Stage::Onset => {
                if !self.silent {
                    allow(all(Kind::End));
                    if self.bars < BARS_MAX {
                        allow(all(Kind::Bar));
                    }
                    // The first POS of which some tick is free.
                    allow(from(Kind::Pos, self.free / TICKS_PER_POS));
                }
                if self.open {
                    self.allowed_next(vocab, &mut allow);
                }
            }
            Stage::Pos | Stage::Nudge => {
                if self.stage == Stage::Pos {
                    allow(from(Kind::Nudge, self.free.saturating_sub(self.tick + 1)));
                }
                if self.tick >= self.free {
                    allow(all(Kind::LeftEmpty));
                    allow(all(Kind::Left));
                    if vocab.content == Content::Lights {
                        self.allowed_next(vocab, &mut allow);
                    }
                }
            }
            Stage::Right => {
                // With bombs and the like to come an onset may be without notes.
                if vocab.content == Content::Full || !self.silent {
                    allow(all(Kind::RightEmpty));
                }
                cells(&all(Kind::Right), !self.occupied, &mut allow);
            }
            Stage::SpanBeats => allow(all(Kind::SpanBeats)),
            Stage::SpanTicks => allow(from(Kind::SpanTicks, u16::from(self.span == 0))),
            Stage::ArcTail => allow(all(Kind::ArcTail)),
            Stage::HeadMultiplier | Stage::TailMultiplier => allow(all(Kind::ArcMultiplier)),
            Stage::MidAnchor => allow(all(Kind::MidAnchor)),
            Stage::ChainTail => cells(&all(Kind::ChainTail), !(1 << self.head.1), &mut allow),
            Stage::Slices => allow(all(Kind::Slices)),
            Stage::Squish => allow(all(Kind::Squish)),
            Stage::Value => {
                let light = LIGHT_TYPES.contains(&EVENT_TYPES[usize::from(self.head.1)]);
                let start = all(Kind::Value).start;
                allow(start..start + if light { LIGHT_VALUES } else { EVENT_VALUES });
            }
            Stage::Color(_) => allow(all(Kind::Color)),
            Stage::Done => allow(all(Kind::Pad)),
        }
    }

    /// What may open the next object of the onset.
    fn allowed_next(&self, vocab: &Vocab, allow: &mut impl FnMut(Range<u16>)) {
        let bounded = |ids: Range<u16>| ids.start.max(self.bound).min(ids.end)..ids.end;
        if vocab.content == Content::Lights {
            for kind in [Kind::Brightness, Kind::Color] {
                let ids = vocab.range(kind);
                allow(if self.detail <= ids.start { ids } else { 0..0 });
            }
            if self.detail < u16::MAX && usize::from(self.ids) < LIGHT_IDS_MAX {
                let ids = vocab.range(Kind::LightId);
                allow(ids.start.max(self.detail)..ids.end);
            }
            if self.bound == 0 {
                allow(vocab.range(Kind::Boost));
            }
            if self.events < EVENTS_PER_ONSET_MAX {
                allow(bounded(vocab.range(Kind::Event)));
            }
            return;
        }
        for (hand, angle, more) in [(0, Kind::LeftAngle, Kind::MoreLeft), (1, Kind::RightAngle, Kind::MoreRight)] {
            if self.angle[hand] {
                allow(vocab.range(angle));
            }
            cells(&vocab.range(more), !self.occupied & !0 << self.more[hand], allow);
        }
        let mut bounded_cells = |kind, mask| cells(&vocab.range(kind), mask, &mut |ids| allow(bounded(ids)));
        bounded_cells(Kind::Bomb, !self.occupied);
        // An arc may begin in the open, but not on a bomb or on a note of the other hand.
        bounded_cells(Kind::ArcLeft, !self.occupied | self.hands[0]);
        bounded_cells(Kind::ArcRight, !self.occupied | self.hands[1]);
        bounded_cells(Kind::ChainLeft, self.hands[0]);
        bounded_cells(Kind::ChainRight, self.hands[1]);
        allow(bounded(vocab.range(Kind::Wall)));
    }

    fn allows(&self, vocab: &Vocab, id: u16) -> bool {
        let mut found = false;
        self.allowed(vocab, |ids| found |= ids.contains(&id));
        found
    }

    /// Takes a token; the state is as before when it is not allowed.
    fn push(&mut self, vocab: &Vocab, id: u16) -> Result<(Kind, u16), String> {
        let token = vocab.kind_of(id).filter(|_| self.allows(vocab, id));
        let Some((kind, value)) = token else {
            let name = vocab.kind_of(id).map_or("an id beyond the vocabulary", |(kind, _)| kind.name());
            let mut kinds: Vec<&str> = Vec::new();
            self.allowed(vocab, |ids| {
                kinds.extend(ids.filter_map(|id| vocab.kind_of(id)).map(|(kind, _)| kind.name()));
            });
            kinds.dedup();
            let same = if kinds.contains(&name) { " with another value" } else { "" };
            return Err(format!("found {name}, expected {}{same}", kinds.join(" or ")));
        };
        self.stage = self.after(vocab, kind, value, id);
        Ok((kind, value))
    }

    /// The stage after an allowed token, with the rest of the state brought up to date.
    fn after(&mut self, vocab: &Vocab, kind: Kind, value: u16, id: u16) -> Stage {
        match kind {
            Kind::Pad | Kind::End => Stage::Done,
            Kind::Start => Stage::Difficulty,
            Kind::Difficulty => Stage::Header,
            Kind::Bar => {
                *self = Self { bars: self.bars + 1, ..Self::NEW };
                Stage::Onset
            }
            Kind::Pos => {
                let (bars, free) = (self.bars, self.free);
                *self = Self { bars, free, tick: value * TICKS_PER_POS, open: true, silent: true, ..Self::NEW };
                Stage::Pos
            }
            Kind::Nudge => {
                self.tick += value + 1;
                Stage::Nudge
            }
            Kind::LeftEmpty | Kind::Left => {
                // A vocabulary without NUDGE has one onset for each POS.
                self.free = self.tick + if vocab.content == Content::Notes { TICKS_PER_POS } else { 1 };
                self.note(0, (kind == Kind::Left).then_some(value));
                Stage::Right
            }
            Kind::RightEmpty | Kind::Right => {
                self.note(1, (kind == Kind::Right).then_some(value));
                self.open = vocab.content == Content::Full;
                Stage::Onset
            }
            Kind::LeftAngle => {
                self.angle[0] = false;
                Stage::Onset
            }
            Kind::MoreLeft => {
                self.note(0, Some(value));
                Stage::Onset
            }
            Kind::RightAngle | Kind::MoreRight => {
                (self.more[0], self.angle) = (CELLS, [false; 2]);
                if kind == Kind::MoreRight {
                    self.note(1, Some(value));
                }
                Stage::Onset
            }
            Kind::Bomb | Kind::Wall | Kind::ArcLeft | Kind::ArcRight | Kind::ChainLeft | Kind::ChainRight => {
                (self.more, self.angle, self.bound) = ([CELLS; 2], [false; 2], id + 1);
                (self.head, self.silent) = ((kind, value), false);
                if kind == Kind::Bomb {
                    self.occupied |= 1 << value;
                    return Stage::Onset;
                }
                Stage::SpanBeats
            }
            Kind::SpanBeats => {
                self.span = value;
                Stage::SpanTicks
            }
            Kind::SpanTicks => match self.head.0 {
                Kind::ArcLeft | Kind::ArcRight => Stage::ArcTail,
                Kind::ChainLeft | Kind::ChainRight => Stage::ChainTail,
                _ => Stage::Onset,
            },
            Kind::ArcTail => Stage::HeadMultiplier,
            Kind::ArcMultiplier if self.stage == Stage::HeadMultiplier => Stage::TailMultiplier,
            Kind::ArcMultiplier => Stage::MidAnchor,
            Kind::ChainTail => Stage::Slices,
            Kind::Slices => Stage::Squish,
            Kind::MidAnchor | Kind::Squish => Stage::Onset,
            Kind::StatNotes
            | Kind::StatSwings
            | Kind::StatDoubles
            | Kind::StatDots
            | Kind::StatCrossovers
            | Kind::StatVertical
            | Kind::StatBombs
            | Kind::StatWalls
            | Kind::StatArcs
            | Kind::StatChains => {
                self.bound = vocab.range(kind).end;
                Stage::Header
            }
            Kind::Boost => {
                (self.free, self.silent, self.bound) = (self.tick + 1, false, vocab.range(kind).end);
                Stage::Onset
            }
            Kind::Event => {
                (self.free, self.silent, self.bound) = (self.tick + 1, false, id);
                (self.head, self.detail, self.ids) = ((kind, value), u16::MAX, 0);
                self.events += 1;
                Stage::Value
            }
            Kind::Value => {
                if LIGHT_TYPES.contains(&EVENT_TYPES[usize::from(self.head.1)]) {
                    self.detail = vocab.range(Kind::Brightness).start;
                }
                Stage::Onset
            }
            Kind::Brightness => {
                self.detail = vocab.range(Kind::Color).start;
                Stage::Onset
            }
            Kind::Color => match self.stage {
                Stage::Color(1) => Stage::Onset,
                Stage::Color(missing) => Stage::Color(missing - 1),
                _ => {
                    self.detail = vocab.range(Kind::LightId).start;
                    Stage::Color(3)
                }
            },
            Kind::LightId => {
                // After the last id this is beyond the range, and nothing is allowed.
                self.detail = id + 1;
                self.ids += 1;
                Stage::Onset
            }
        }
    }

    fn note(&mut self, hand: usize, note: Option<u16>) {
        if let Some(value) = note {
            let cell = value / CUTS;
            self.hands[hand] |= 1 << cell;
            self.occupied |= 1 << cell;
            self.silent = false;
            if self.open {
                (self.more[hand], self.angle[hand]) = (cell + 1, true);
            }
        }
    }
}

/// Calls `allow` with the ids of `range`, as many for each cell, whose cell is in `mask`.
fn cells(range: &Range<u16>, mask: u16, allow: &mut impl FnMut(Range<u16>)) {
    let each = (range.end - range.start) / CELLS;
    for cell in (0..CELLS).filter(|cell| mask >> cell & 1 == 1) {
        allow(range.start + cell * each..range.start + (cell + 1) * each);
    }
}

// --------------------------------------------------------------------------------------------------------- decode

/// An arc or chain while its fields come in.
#[derive(Default)]
struct Fields {
    values: [u16; 6],
    len: usize,
}

impl Vocab {
    /// The level that `tokens` tell, its beats counted from the first BAR. Difficulty and statistics are not part of a level.
    ///
    /// # Errors
    /// [`Error::Token`] with the index of the first token that may not stand where it stands, or the length of a sequence
    /// that stops before END.
    pub fn decode(&self, tokens: &[u16]) -> Result<Difficulty> {
        let mut state = State::NEW;
        let mut d = Difficulty::default();
        let mut fields = Fields::default();
        for (index, &id) in tokens.iter().enumerate() {
            let (kind, value) =
                state.push(self, id).map_err(|problem| Error::Token { index, id: u32::from(id), problem })?;
            take(&mut d, &state, &mut fields, kind, value);
        }
        if state.stage != Stage::Done {
            let id = tokens.last().map_or(u32::from(PAD), |&id| u32::from(id));
            let problem = "the sequence stops after this, expected it to go on to END".to_owned();
            return Err(Error::Token { index: tokens.len(), id, problem });
        }
        Ok(d)
    }
}

/// Adds what an allowed token says to the level; `state` is the state after it.
fn take(d: &mut Difficulty, state: &State, fields: &mut Fields, kind: Kind, value: u16) {
    let ticks = u32::from(state.bars.max(1) - 1) * u32::from(TICKS_PER_BAR) + u32::from(state.tick);
    let beats = |ticks: u32| f64::from(ticks) / f64::from(TICKS_PER_BEAT);
    let beat = beats(ticks);
    let place = |cell: u16| (i32::from(cell / ROWS), i32::from(cell % ROWS));
    if fields.len < fields.values.len() {
        fields.values[fields.len] = value;
        fields.len += 1;
    }
    let [span_beats, span_ticks, f2, f3, f4, f5] = fields.values;
    let span = u32::from(span_beats * TICKS_PER_BEAT + span_ticks);
    match kind {
        Kind::Left | Kind::MoreLeft | Kind::Right | Kind::MoreRight => {
            let (x, y) = place(value / CUTS);
            let color = i32::from(matches!(kind, Kind::Right | Kind::MoreRight));
            d.notes.push(Note { beat, x, y, color, cut: i32::from(value % CUTS), ..Note::default() });
        }
        Kind::LeftAngle | Kind::RightAngle => {
            let color = i32::from(kind == Kind::RightAngle);
            if let Some(note) = d.notes.iter_mut().rev().find(|note| note.color == color) {
                note.angle = angle_degrees(value);
            }
        }
        Kind::Bomb => {
            let (x, y) = place(value);
            d.bombs.push(Bomb { beat, x, y, ..Bomb::default() });
        }
        Kind::Wall | Kind::ArcLeft | Kind::ArcRight | Kind::ChainLeft | Kind::ChainRight => fields.len = 0,
        Kind::SpanTicks if state.head.0 == Kind::Wall => {
            if let Some([x, y, width, height]) = wall_shapes().nth(usize::from(state.head.1)) {
                let duration_beats = beats(span);
                d.obstacles.push(Obstacle { beat, duration_beats, x, y, width, height, ..Obstacle::default() });
            }
        }
        Kind::MidAnchor => {
            let (x, y) = place(state.head.1 / CUTS);
            let (tail_x, tail_y) = place(f2 / CUTS);
            d.arcs.push(Arc {
                beat,
                color: i32::from(state.head.0 == Kind::ArcRight),
                x,
                y,
                cut: i32::from(state.head.1 % CUTS),
                multiplier: multiplier(f3),
                tail_beat: beats(ticks + span),
                tail_x,
                tail_y,
                tail_cut: i32::from(f2 % CUTS),
                tail_multiplier: multiplier(f4),
                mid_anchor: i32::from(f5),
                ..Arc::default()
            });
        }
        Kind::Squish => {
            let (x, y) = place(state.head.1);
            let (tail_x, tail_y) = place(f2);
            let color = i32::from(state.head.0 == Kind::ChainRight);
            let head = d.notes.iter().rev().find(|n| (n.x, n.y, n.color) == (x, y, color));
            d.chains.push(Chain {
                beat,
                color,
                x,
                y,
                cut: head.map_or(0, |note| note.cut),
                tail_beat: beats(ticks + span),
                tail_x,
                tail_y,
                slices: i32::from(f3) + 1,
                squish: squish(f4),
                ..Chain::default()
            });
        }
        Kind::Boost => d.boosts.push(Boost { beat, on: value == 1, ..Boost::default() }),
        Kind::Value => {
            let kind = EVENT_TYPES[usize::from(state.head.1)];
            d.lights.push(Light { beat, kind, value: i32::from(value), brightness: 1.0, ..Light::default() });
            fields.len = 0;
        }
        Kind::Brightness | Kind::Color | Kind::LightId => {
            let Some(light) = d.lights.last_mut() else { return };
            if kind == Kind::Brightness {
                light.brightness = brightness(value);
                fields.len = 0;
            } else if kind == Kind::Color && state.stage == Stage::Onset {
                let [r, g, b, a, ..] = fields.values.map(color_value);
                set_custom(&mut light.extra, "color", [r, g, b, a].into_iter().map(Value::from).collect());
            } else if kind == Kind::LightId {
                let mut ids = light.extra.custom().remove("lightID").unwrap_or_else(|| json!([]));
                if let Some(ids) = ids.as_array_mut() {
                    ids.push(value.into());
                }
                set_custom(&mut light.extra, "lightID", ids);
            }
        }
        _ => {}
    }
}

fn set_custom(extra: &mut Extra, key: &str, value: Value) {
    let mut custom = extra.custom();
    custom.insert(key.to_owned(), value);
    extra.set("customData", Value::Object(custom));
}

// -------------------------------------------------------------------------------------------------------- grammar

/// Which token may follow, for a batch of sequences that grow together.
///
/// ```
/// use beatweaver_core::tokens::{Content, Grammar, START, Vocab, VocabSpec};
/// let vocab = Vocab::new(&VocabSpec::new(Content::Full))?;
/// let mut grammar = Grammar::new(&vocab, 2);
/// let mut mask = vec![false; 2 * vocab.size()];
/// grammar.mask(&mut mask)?;
/// assert!(mask[START as usize] && mask.iter().filter(|&&may| may).count() == 2);
/// grammar.push(&[START, START])?;
/// # Ok::<(), beatweaver_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Grammar {
    vocab: Vocab,
    rows: Vec<State>,
}

impl Grammar {
    /// `batch` rows, each before its START.
    pub fn new(vocab: &Vocab, batch: usize) -> Self {
        Self { vocab: vocab.clone(), rows: vec![State::NEW; batch] }
    }

    /// Number of rows.
    pub fn batch(&self) -> usize {
        self.rows.len()
    }

    /// Takes one token for each row.
    ///
    /// # Errors
    /// [`Error::Token`], its index being the row, for a token that may not follow; [`Error::Spec`] for another number of
    /// tokens than rows. No row has changed then.
    pub fn push(&mut self, tokens: &[u16]) -> Result<()> {
        self.expect("tokens", tokens.len(), self.rows.len())?;
        let mut rows = self.rows.clone();
        for (index, (row, &id)) in rows.iter_mut().zip(tokens).enumerate() {
            row.push(&self.vocab, id).map_err(|problem| Error::Token { index, id: u32::from(id), problem })?;
        }
        self.rows = rows;
        Ok(())
    }

    /// Fills `out`, rows × ids in row-major order, with whether the id may follow in the row. No row comes out empty: after
    /// END there is PAD.
    ///
    /// # Errors
    /// [`Error::Spec`] when `out` has another size.
    pub fn mask(&self, out: &mut [bool]) -> Result<()> {
        self.expect("out", out.len(), self.rows.len() * self.vocab.size())?;
        out.fill(false);
        for (row, out) in self.rows.iter().zip(out.chunks_exact_mut(self.vocab.size())) {
            row.allowed(&self.vocab, |ids| out[usize::from(ids.start)..usize::from(ids.end)].fill(true));
        }
        Ok(())
    }

    /// Puts `row` before its START again.
    ///
    /// # Errors
    /// [`Error::Spec`] when there is no such row.
    pub fn reset(&mut self, row: usize) -> Result<()> {
        let batch = self.rows.len();
        let state = self.rows.get_mut(row).ok_or_else(|| no_row(row, batch))?;
        *state = State::NEW;
        Ok(())
    }

    /// Replaces the rows by copies of `rows`, which may repeat, leave out and reorder: beams and samples that share a past.
    ///
    /// # Errors
    /// [`Error::Spec`] when one of them is not there; nothing has changed then.
    pub fn fork(&mut self, rows: &[usize]) -> Result<()> {
        let batch = self.rows.len();
        let copy = |&row: &usize| self.rows.get(row).copied().ok_or_else(|| no_row(row, batch));
        self.rows = rows.iter().map(copy).collect::<Result<_>>()?;
        Ok(())
    }

    fn expect(&self, field: &str, found: usize, expected: usize) -> Result<()> {
        if found == expected {
            return Ok(());
        }
        let batch = self.rows.len();
        let problem = format!("found {found} elements, expected {expected} for a batch of {batch}");
        Err(Error::Spec { field: field.into(), problem })
    }
}

fn no_row(row: usize, batch: usize) -> Error {
    Error::Spec { field: "row".into(), problem: format!("found {row}, expected less than the batch of {batch}") }
}
