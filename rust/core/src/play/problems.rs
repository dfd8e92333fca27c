//! A level held against the rules of play.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::state::{Bounds, Event, Reasons, Tracker, bomb_in_path, slider};
use super::table::*;
use super::{ANY, Facts, Flow, Hand, Placed, coordinate, cut_deg, facts, way_deg};
use crate::map::pack::Pack;
use crate::map::rules::Finding;
use crate::map::{self, Category, Chain, Difficulty, DifficultyInfo, Level, Obstacle, RANKS, Song};
use crate::timing::{TempoMap, grid_offset};
use crate::{Limits, Result};

/// What a level alone does not say.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// What the Info says of it.
    pub info: &'a DifficultyInfo,
    /// The song's base tempo.
    pub bpm: f64,
    /// The level's clock.
    pub clock: &'a TempoMap,
    /// Length of the audio in seconds, where it is known.
    pub duration_s: Option<f64>,
}

/// Holds all levels of a pack against the rules of play. Levels that cannot be read are left out;
/// [`map::rules::check_upload`] says what is wrong with them.
///
/// # Errors
/// Whatever keeps the Info file from being read.
pub fn check(pack: &Pack, limits: &Limits, preset: Preset) -> Result<Vec<Finding>> {
    let song = Song::read(pack, limits)?;
    let mut found = Vec::new();
    let mut swings = Vec::new();
    for (level, d) in song.levels.iter().filter_map(|level| level.level.as_ref().ok().map(|d| (level, d))) {
        let Ok(clock) = song.clock(d) else { continue };
        let context =
            Context { info: &level.info, bpm: song.info.bpm, clock: &clock, duration_s: song.audio_seconds() };
        if let Some(note) = not_judged(level, &context) {
            found.push(note);
            continue;
        }
        let facts = facts_of(d, &level.info, &clock);
        found.extend(problems(d, &facts, preset, &context));
        if let Some(sps) = swings_per_s(d, &facts, &clock).filter(|_| level.info.characteristic == "Standard") {
            swings.push((sps, &level.info));
        }
    }
    progression(&mut found, preset, swings, song.audio_seconds());
    Ok(found)
}

/// The facts as the game mode has them: without arrows, all notes are dots.
fn facts_of(level: &Difficulty, info: &DifficultyInfo, clock: &TempoMap) -> Facts {
    if info.characteristic != "NoArrows" {
        return facts(level, clock);
    }
    facts(&without_arrows(level), clock)
}

fn without_arrows(level: &Difficulty) -> Difficulty {
    let notes = level.notes.iter().map(|note| map::Note { cut: ANY.into(), angle: 0, ..note.clone() }).collect();
    Difficulty { notes, bombs: level.bombs.clone(), ..Difficulty::default() }
}

fn not_judged(level: &Level, context: &Context) -> Option<Finding> {
    let name = match level.category() {
        Category::Vivify => "Vivify",
        Category::Noodle => "Noodle Extensions",
        Category::MappingExtensions => "Mapping Extensions",
        Category::Chroma | Category::Vanilla => return None,
    };
    let mut report = Report { findings: Vec::new(), preset: Preset::Default, context };
    report.whole(&NOT_JUDGED, || {
        format!("the level is made for {name}, which moves and turns notes; its play was not judged")
    });
    report.findings.pop()
}

/// Holds a level against the rules of a preset; `facts` are those of this level.
///
/// Every finding is there, none folded. Its place is the object in words.
pub fn problems(level: &Difficulty, facts: &Facts, preset: Preset, context: &Context) -> Vec<Finding> {
    let mut report = Report { findings: Vec::new(), preset, context };
    let dots;
    let level = if context.info.characteristic == "NoArrows" {
        dots = Difficulty {
            obstacles: level.obstacles.clone(),
            lights: level.lights.clone(),
            arcs: level.arcs.clone(),
            njs_events: level.njs_events.clone(),
            groups: level.groups.clone(),
            ..without_arrows(level)
        };
        &dots
    } else {
        level
    };
    let notes: Vec<Placed> = level.notes.iter().filter_map(|note| Placed::of(note, context.clock)).collect();
    let bounds = Bounds::new(preset, context.info.rank, context.info.njs, context.bpm, report.reaction_s());
    report.of_swings(facts);
    report.of_notes(&notes, level, &bounds);
    report.of_sliders(&notes);
    report.off_beat(facts, &notes);
    report.doubles(facts);
    report.bombs(&notes, level);
    report.colors(&notes);
    report.angles(level);
    report.arcs(level);
    report.chains(level);
    report.walls(level);
    report.light(level);
    report.ends(level);
    report.jump(level);
    report.findings.sort_by(|a, b| {
        a.severity.cmp(&b.severity).then(a.time_s.unwrap_or(-1.0).total_cmp(&b.time_s.unwrap_or(-1.0)))
    });
    report.findings
}

struct Report<'a> {
    findings: Vec<Finding>,
    preset: Preset,
    context: &'a Context<'a>,
}

fn place(hand: Hand, x: f64, y: f64) -> String {
    format!("{}, column {x}, row {y}", hand.as_str())
}

impl Report<'_> {
    fn add(&mut self, rule: &'static Rule, beat: Option<f64>, place: String, message: impl FnOnce() -> String) {
        if !rule.holds(self.preset) {
            return;
        }
        let info = self.context.info;
        self.findings.push(Finding {
            rule: rule.id,
            severity: rule.severity,
            characteristic: Some(info.characteristic.clone()),
            difficulty: Some(info.difficulty.clone()),
            file: info.file.clone(),
            place,
            beat,
            time_s: beat.map(|beat| self.context.clock.seconds(beat)),
            message: message(),
            count: 1,
        });
    }

    fn whole(&mut self, rule: &'static Rule, message: impl FnOnce() -> String) {
        self.add(rule, None, String::new(), message);
    }

    fn at_note(&mut self, rule: &'static Rule, note: &Placed, message: impl FnOnce() -> String) {
        self.add(rule, Some(note.beat), place(note.hand, note.x, note.y), message);
    }

    fn of_swings(&mut self, facts: &Facts) {
        for row in 0..facts.len() {
            let (Some(&hand), Some(&beat)) = (facts.hand.get(row), facts.beat.get(row)) else { continue };
            let name = hand.as_str();
            let mut say = |rule, message: &dyn Fn() -> String| self.add(rule, Some(beat), name.to_owned(), message);
            match facts.wrist.flow.get(row) {
                Some(Flow::Broken) => say(&PARITY_BREAK, &|| {
                    format!(
                        "the {name} hand cannot swing on: it has to turn back first; turn this arrow, or put a pause or bombs before it"
                    )
                }),
                Some(Flow::Strained) => say(&PARITY_STRAIN, &|| {
                    format!("the {name} hand has to turn far for this swing; a straighter arrow is easier")
                }),
                _ => {}
            }
            if facts.alternation.flow.get(row) == Some(&Flow::Broken) {
                say(&PARITY_FLOW, &|| format!("the {name} hand cuts the same way twice in a row; turn one of the two"));
            }
        }
    }

    /// What the machine says of every note after those before it.
    fn of_notes(&mut self, notes: &[Placed], level: &Difficulty, bounds: &Bounds) {
        let mut tracker = Tracker::default();
        // When each rule last spoke of each hand: one finding for what a hand does at once.
        let mut spoke_s = [[f64::NEG_INFINITY; 2]; NOTE_RULES.len()];
        let mut others = self.other_objects(level).into_iter().peekable();
        for (index, note) in notes.iter().enumerate() {
            while let Some(object) = others.next_if(|object| object.beat < note.beat) {
                self.pass(&mut tracker, &object, bounds);
            }
            let mut after = notes[index + 1..].iter().take_while(|next| next.beat < note.beat + SAME_TIME_S);
            let double = after.any(|next| next.hand != note.hand);
            let found = tracker.judge(note, bounds, double);
            for (number, &(reason, rule)) in NOTE_RULES.iter().enumerate() {
                let last_s = &mut spoke_s[number][note.hand as usize];
                if found.has(reason) && note.time_s > *last_s + SAME_TIME_S {
                    *last_s = note.time_s;
                    self.at_note(rule, note, || sentence(reason, bounds));
                }
            }
            tracker.push(Event::Note(*note));
        }
        for object in others {
            self.pass(&mut tracker, &object, bounds);
        }
    }

    /// Bombs and walls, which may hide, be hidden and turn hands back; sorted by beat.
    fn other_objects(&self, level: &Difficulty) -> Vec<Other> {
        let of = |beat: f64, x: i32, y: i32, bomb: bool| Other {
            beat,
            time_s: self.context.clock.seconds(beat),
            x: coordinate(x),
            y: coordinate(y),
            bomb,
        };
        let bombs = level.bombs.iter().map(|bomb| of(bomb.beat, bomb.x, bomb.y, true));
        let walls = level.obstacles.iter().map(|wall| of(wall.beat, wall.x, wall.y, false));
        let mut all: Vec<Other> = bombs.chain(walls).collect();
        all.sort_by(|a, b| a.beat.total_cmp(&b.beat));
        all
    }

    fn pass(&mut self, tracker: &mut Tracker, object: &Other, bounds: &Bounds) {
        if tracker.hidden(object.x, object.time_s, bounds) {
            let what = if object.bomb { "bomb" } else { "wall" };
            let spot = format!("{what}, column {}, row {}", object.x, object.y);
            self.add(&VISION_BLOCK, Some(object.beat), spot, || {
                format!("a note or bomb at eye level in the middle hides this {what}; move one of them")
            });
        }
        if object.bomb {
            tracker.push(Event::Bomb(object.x, object.y));
        }
        tracker.seen(object.x, object.y, object.time_s);
    }

    /// Whole swings: how their notes follow each other.
    fn of_sliders(&mut self, notes: &[Placed]) {
        let mut tracker = Tracker::default();
        for note in notes {
            if tracker.begins(note) {
                self.slider(tracker.swing(note.hand));
            }
            tracker.push(Event::Note(*note));
        }
        for hand in [Hand::Left, Hand::Right] {
            self.slider(tracker.swing(hand));
        }
    }

    fn slider(&mut self, swing: &[Placed]) {
        let found = slider(swing, self.preset);
        let Some(first) = swing.first() else { return };
        if found.has(Reasons::SLOW_SLIDER) {
            let most = SLOW_SLIDER.at(self.preset).map_or(0.0, |[most]| most);
            self.at_note(&SLOW_SLIDER, first, || {
                format!(
                    "the slider is slow, more than {:.0} ms a cell; put its notes closer together in time",
                    most * 1e3
                )
            });
        }
        if found.has(Reasons::VARY_SWING) {
            self.at_note(&VARY_SWING, first, || {
                "the slider changes its speed on the way; put its notes at even distances in time".to_owned()
            });
        }
        if found.has(Reasons::IMPROPER_WINDOW) {
            self.at_note(&IMPROPER_WINDOW, first, || {
                "the two notes of this slanted window do not come at once; put them on one beat".to_owned()
            });
        }
    }

    fn off_beat(&mut self, facts: &Facts, notes: &[Placed]) {
        let Some([first, second, share]) = OFF_BEAT.at(self.preset) else { return };
        let beats: Vec<f64> = notes.iter().map(|note| note.beat).collect();
        let grid = grid_offset(&beats);
        let off = |beat: f64, parts: f64| {
            let at = (beat - grid) * parts;
            (at - at.round()).abs() > share
        };
        for (row, &beat) in facts.beat.iter().enumerate() {
            if off(beat, first) && off(beat, second) {
                let hand = facts.hand.get(row).map_or("", |hand| hand.as_str());
                self.add(&OFF_BEAT, Some(beat), hand.to_owned(), || {
                    format!(
                        "the swing begins on no 1/{first} or 1/{second} of a beat; snap it, or check the tempo there"
                    )
                });
            }
        }
    }

    fn doubles(&mut self, facts: &Facts) {
        let Some([most]) = EXCESSIVE_DOUBLES.at(self.preset) else { return };
        let (mut moments, mut both) = (0u32, 0u32);
        let mut row = 0;
        while let Some(&begin) = facts.time_s.get(row) {
            let until = row + facts.time_s[row..].iter().take_while(|&&time| time - begin <= SAME_TIME_S).count();
            let hands = &facts.hand[row..until];
            moments += 1;
            both += u32::from(hands.contains(&Hand::Left) && hands.contains(&Hand::Right));
            row = until.max(row + 1);
        }
        let share = f64::from(both) / f64::from(moments.max(1));
        if share > most {
            self.whole(&EXCESSIVE_DOUBLES, || {
                format!(
                    "both hands cut at once in {:.0} % of all moments, expected at most {:.0} %; let them alternate",
                    share * 100.0,
                    most * 100.0
                )
            });
        }
    }

    /// Bombs beside notes, and bombs in bombs.
    fn bombs(&mut self, notes: &[Placed], level: &Difficulty) {
        let hammer = HAMMER_HIT.at(self.preset);
        let [before_s, after_s, cells, deg] = hammer.unwrap_or([f64::NEG_INFINITY; 4]);
        let bombs: Vec<(f64, f64, f64)> = level
            .bombs
            .iter()
            .map(|bomb| (self.context.clock.seconds(bomb.beat), coordinate(bomb.x), coordinate(bomb.y)))
            .collect();
        let mut first = 0;
        let mut spoke_s = [f64::NEG_INFINITY; 2];
        for note in notes.iter().filter(|note| note.is_arrow()) {
            while bombs.get(first).is_some_and(|bomb| bomb.0 + before_s.max(SAME_TIME_S) < note.time_s) {
                first += 1;
            }
            let near = bombs[first.min(bombs.len())..].iter();
            // A cell holds one bomb at a time; a file with more of them is wrong anyway.
            for &(time_s, x, y) in near.take_while(|bomb| bomb.0 <= note.time_s + after_s.max(SAME_TIME_S)).take(256) {
                let since_s = note.time_s - time_s;
                let (off, close) = (note.off_deg(x, y), note.cells_to(x, y) <= cells);
                let hit = since_s <= before_s && -since_s <= after_s && close && (off <= deg || off >= 180.0 - deg);
                if hit && note.time_s > spoke_s[0] + SAME_TIME_S {
                    spoke_s[0] = note.time_s;
                    self.at_note(&HAMMER_HIT, note, || {
                        "a bomb lies right behind or ahead of this cut, so the saber hits it; move or remove the bomb"
                            .to_owned()
                    });
                }
                let blocked = since_s.abs() <= SAME_TIME_S && bomb_in_path(note, x, y, self.preset);
                if blocked && note.time_s > spoke_s[1] + SAME_TIME_S {
                    spoke_s[1] = note.time_s;
                    self.at_note(&HITBOX_PATH, note, || {
                        "a bomb lies where the saber has to come from; move or remove the bomb".to_owned()
                    });
                }
            }
        }
        let Some([within_s]) = STACKED_BOMB.at(self.preset) else { return };
        let mut cells: HashMap<(i32, i32), f64> = HashMap::new();
        for bomb in &level.bombs {
            let time_s = self.context.clock.seconds(bomb.beat);
            let last = cells.insert((bomb.x, bomb.y), time_s);
            if last.is_some_and(|last| time_s - last < within_s) {
                self.add(&STACKED_BOMB, Some(bomb.beat), format!("bomb, column {}, row {}", bomb.x, bomb.y), || {
                    format!("two bombs in one cell within {:.0} ms; remove one", within_s * 1e3)
                });
            }
        }
    }

    fn colors(&mut self, notes: &[Placed]) {
        let left = notes.iter().find(|note| note.hand == Hand::Left);
        if self.context.info.characteristic == "OneSaber" {
            for note in notes.iter().filter(|note| note.hand == Hand::Left) {
                self.at_note(&ONE_SABER, note, || {
                    "a OneSaber level has a note for the left hand; make it a right one".to_owned()
                });
            }
        } else if !notes.is_empty() && (left.is_none() || notes.iter().all(|note| note.hand == Hand::Left)) {
            self.whole(&ONE_COLOR, || {
                "all notes are for one hand; give the other hand some, or make it a OneSaber level".to_owned()
            });
        }
    }

    fn angles(&mut self, level: &Difficulty) {
        let Some([step]) = ANGLE_OFFSET.at(self.preset) else { return };
        for note in &level.notes {
            let arrow = (0..8).contains(&note.cut);
            let fine = if arrow {
                note.angle == 0
            } else {
                f64::from(note.angle).rem_euclid(step) == 0.0 && f64::from(note.angle).abs() <= step
            };
            if let (false, Some(placed)) = (fine, Placed::of(note, self.context.clock)) {
                self.at_note(&ANGLE_OFFSET, &placed, || {
                    format!("the note is turned by an angle offset; ranked levels turn dots by {step} degrees at most and arrows not at all")
                });
            }
        }
    }

    fn arcs(&mut self, level: &Difficulty) {
        let Some([apart]) = IMPROPER_ARC.at(self.preset) else { return };
        for arc in &level.arcs {
            let spot = format!("arc, column {}, row {}", arc.x, arc.y);
            if (arc.tail_beat - arc.beat).abs() < apart {
                self.add(&IMPROPER_ARC, Some(arc.beat), spot.clone(), || {
                    "the arc begins and ends at one time; give it a length".to_owned()
                });
            }
            for (beat, x, y) in [(arc.beat, arc.x, arc.y), (arc.tail_beat, arc.tail_x, arc.tail_y)] {
                let notes = around(&level.notes, beat, apart, |note| note.beat);
                let bombs = around(&level.bombs, beat, apart, |bomb| bomb.beat);
                let wrong = notes.iter().any(|note| (note.x, note.y) == (x, y) && note.color != arc.color)
                    && !notes.iter().any(|note| (note.x, note.y) == (x, y) && note.color == arc.color);
                if wrong || bombs.iter().any(|bomb| (bomb.x, bomb.y) == (x, y)) {
                    self.add(&IMPROPER_ARC, Some(beat), spot.clone(), || {
                        "an end of the arc lies on a bomb or on a note of the other hand; move it to a note of its own"
                            .to_owned()
                    });
                }
            }
        }
    }

    fn chains(&mut self, level: &Difficulty) {
        let Some([apart, cells, deg]) = IMPROPER_CHAIN.at(self.preset) else { return };
        for chain in &level.chains {
            let mut say = |message: &str| {
                let spot = format!("chain, column {}, row {}", chain.x, chain.y);
                self.add(&IMPROPER_CHAIN, Some(chain.beat), spot, || message.to_owned());
            };
            let heads = around(&level.notes, chain.beat, apart, |note| note.beat);
            let cell = (chain.x, chain.y);
            let head = heads
                .iter()
                .find(|note| (note.x, note.y, note.color, note.cut) == (chain.x, chain.y, chain.color, chain.cut));
            if head.is_none() {
                say("the chain has no note of its colour and direction at its head; put one there");
            }
            if around(&level.bombs, chain.beat, apart, |bomb| bomb.beat).iter().any(|bomb| (bomb.x, bomb.y) == cell) {
                say("a bomb lies in the head of the chain; remove it");
            }
            if chain.slices >= 2 && misshapen(chain, cells, deg) {
                say("the chain has no length, or does not go where its arrow points; move its tail");
            }
        }
    }

    fn walls(&mut self, level: &Difficulty) {
        let clock = self.context.clock;
        let span = |wall: &Obstacle| {
            let begin = clock.seconds(wall.beat);
            (begin, clock.seconds(wall.beat + wall.duration_beats) - begin)
        };
        let spot = |wall: &Obstacle| format!("wall, column {}, row {}", wall.x, wall.y);
        // The last walls that closed the left and the right side: begin and end.
        let mut closed: [(f64, f64); 2] = [(f64::NEG_INFINITY, f64::NEG_INFINITY); 2];
        let recovery = CENTER_WALL.at(self.preset).map_or(0.0, |[recovery]| recovery);
        for wall in level.obstacles.iter().filter(|wall| wall.y < 2 && wall.height > 1) {
            let (begin, length) = span(wall);
            let (left, right) = (
                wall.x.saturating_add(wall.width) > 1 && wall.x <= 1,
                wall.x <= 2 && wall.x.saturating_add(wall.width) > 2,
            );
            let sides = [(left, 0), (right, 1)];
            let both = left && right;
            let squeezed = left != right && {
                let other = closed[usize::from(left)];
                begin > other.0 - recovery && begin < other.1 + recovery
            };
            if wall.width > 2 || both || squeezed {
                self.add(&CENTER_WALL, Some(wall.beat), spot(wall), || {
                    format!(
                        "both middle columns are closed here, or within {:.0} ms, so the player is hit; open one",
                        recovery * 1e3
                    )
                });
            }
            for (_, side) in sides.into_iter().filter(|(closes, _)| *closes) {
                if begin + length > closed[side].1 {
                    closed[side] = (begin, begin + length);
                }
            }
        }
        for wall in &level.obstacles {
            let standard = (wall.y == 0 && wall.height == 5) || (wall.y == 2 && wall.height == 3);
            let inside = wall.x >= 0 && wall.x.saturating_add(wall.width) <= 4;
            if !standard || !inside {
                self.add(&RANKABLE_WALL, Some(wall.beat), spot(wall), || {
                    "the wall is neither a full nor a crouch wall inside of the grid, as ranked levels need".to_owned()
                });
            }
        }
        let Some([shortest]) = SHORT_WALL.at(self.preset) else { return };
        for (index, wall) in level.obstacles.iter().enumerate() {
            let standard = (wall.y <= 0 && wall.height >= 5) || (wall.y == 2 && wall.height == 3);
            let middle = wall.x < 3 && wall.x.saturating_add(wall.width) > 1;
            let (begin, length) = span(wall);
            if !standard || !middle || length < 0.0 || length >= shortest {
                continue;
            }
            let near = level.obstacles[index.saturating_sub(32)..].iter().take(64);
            let hidden = near.filter(|other| !std::ptr::eq(*other, wall)).any(|other| {
                let (from, lasts) = span(other);
                let covers =
                    other.x <= wall.x && other.x.saturating_add(other.width) >= wall.x.saturating_add(wall.width);
                covers && other.y <= wall.y && lasts > length && from <= begin && from + lasts >= begin + length
            });
            if !hidden {
                self.add(&SHORT_WALL, Some(wall.beat), spot(wall), || {
                    format!("the wall lasts less than {:.0} ms; make it longer", shortest * 1e3)
                });
            }
        }
    }

    fn light(&mut self, level: &Difficulty) {
        // Lights in groups are judged by eye.
        if !level.groups.is_empty() {
            return;
        }
        let off = |value: i32| matches!(value, 0);
        let lights = || level.lights.iter().filter(|light| LIGHT_TYPES.contains(&light.kind));
        let on = lights().filter(|light| !off(light.value)).count();
        if let Some([least]) = INSUFFICIENT_LIGHT.at(self.preset)
            && on as f64 <= least
        {
            self.whole(&INSUFFICIENT_LIGHT, || {
                format!(
                    "there are {on} light events that switch something on, expected more than {least}; light the level"
                )
            });
        }
        let Some([before_s, fade_s, brightness]) = UNLIT_BOMB.at(self.preset) else { return };
        // Per lane, since when it is lit and until when; and the times until which any lane so far is lit.
        let mut lit: Vec<(f64, f64)> = Vec::new();
        let mut open: HashMap<i32, (f64, f64)> = HashMap::new();
        for light in lights() {
            let time_s = self.context.clock.seconds(light.beat);
            let until = match light.value {
                value if off(value) || light.brightness < brightness => f64::NEG_INFINITY,
                3 | 7 | 11 => time_s + fade_s,
                _ => f64::INFINITY,
            };
            match open.entry(light.kind) {
                Entry::Occupied(mut last) => {
                    let (from, to) = last.insert((time_s, until));
                    lit.push((from, to.min(time_s)));
                }
                Entry::Vacant(free) => {
                    free.insert((time_s, until));
                }
            }
        }
        lit.extend(open.into_values());
        lit.retain(|(from, to)| to > from);
        lit.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut next = 0;
        let mut until = f64::NEG_INFINITY;
        for bomb in &level.bombs {
            let time_s = self.context.clock.seconds(bomb.beat);
            while let Some(&(_, to)) = lit.get(next).filter(|(from, _)| *from <= time_s) {
                until = until.max(to);
                next += 1;
            }
            if until < time_s - before_s {
                let spot = format!("bomb, column {}, row {}", bomb.x, bomb.y);
                self.add(&UNLIT_BOMB, Some(bomb.beat), spot, || {
                    format!("no light was on in the {before_s} s before this bomb; light it")
                });
            }
        }
    }

    /// Beats of the first and the last object that the player meets.
    fn ends(&mut self, level: &Difficulty) {
        let Some((first, last)) = interactive(level) else { return };
        let clock = self.context.clock;
        if let Some([least]) = HOT_START.at(self.preset)
            && clock.seconds(first) < least
        {
            self.add(&HOT_START, Some(first), String::new(), || {
                format!(
                    "the first object comes at {:.2} s, expected {least} s or later; begin later or add silence",
                    clock.seconds(first)
                )
            });
        }
        let (Some([least, most]), Some(end_s)) = (OUTRO.at(self.preset), self.context.duration_s) else { return };
        if end_s - clock.seconds(last) < least {
            self.add(&OUTRO, Some(last), String::new(), || {
                format!("the last object comes less than {least} s before the song ends; end earlier")
            });
        }
        let lights = level.lights.last().map(|light| light.beat);
        let groups = level.groups.last().map(|group| group.beat);
        let anything = [Some(last), lights, groups].into_iter().flatten().fold(f64::NEG_INFINITY, f64::max);
        if end_s - clock.seconds(anything) > most {
            self.add(&OUTRO, Some(anything), String::new(), || {
                format!("nothing happens in the last {most} s of the song; go on, or cut the song")
            });
        }
    }

    fn reaction_s(&self) -> f64 {
        reaction_s(self.context.info.njs, self.context.info.spawn_offset_beats, self.context.bpm)
    }

    fn jump(&mut self, level: &Difficulty) {
        let njs = self.context.info.njs;
        // No speed is the business of the upload's rules.
        if njs <= 0.0 || self.context.bpm <= 0.0 {
            return;
        }
        if let Some([least, most]) = JUMP_SPEED.at(self.preset)
            && !(least..=most).contains(&njs)
        {
            self.whole(&JUMP_SPEED, || format!("the note jump speed is {njs} m/s, expected {least} to {most}"));
        }
        let before = half_jump_beats(njs, self.context.bpm);
        let (reaction_s, offset) = (self.reaction_s(), self.context.info.spawn_offset_beats);
        let distance = 2.0 * njs * reaction_s;
        if let Some([least, most, base]) = JUMP_DISTANCE.at(self.preset) {
            let most = most.min(least * base.powf(-njs) + least);
            if distance < least || distance > most {
                self.whole(&JUMP_DISTANCE, || {
                    format!("notes appear {distance:.1} m away, expected {least} to {most:.1} m at {njs} m/s; change the spawn offset")
                });
            }
        }
        if let Some([least]) = REACTION_TIME.at(self.preset)
            && reaction_s < least
        {
            self.whole(&REACTION_TIME, || {
                format!(
                    "notes are seen {:.0} ms before they are cut, expected {:.0} or more; raise the spawn offset",
                    reaction_s * 1e3,
                    least * 1e3
                )
            });
        }
        if let Some([least]) = CLAMPED_OFFSET.at(self.preset)
            && offset < 0.0
            && before + offset < least
        {
            self.whole(&CLAMPED_OFFSET, || {
                format!(
                    "the spawn offset of {offset} beats is more than the game follows; {:.2} does the same",
                    least - before
                )
            });
        }
        let Some([least, most, slope]) = VARIABLE_NJS.at(self.preset) else { return };
        let (mut speed, mut last_s) = (njs, f64::NEG_INFINITY);
        for event in &level.njs_events {
            let time_s = self.context.clock.seconds(event.beat);
            let next = if event.previous == 1 { speed } else { njs + event.delta };
            let steep = event.easing >= 0 && (next - speed).abs() > slope * (time_s - last_s);
            if !(least..=most).contains(&next) || steep {
                self.add(&VARIABLE_NJS, Some(event.beat), String::new(), || {
                    format!("the note jump speed goes to {next} m/s, expected {least} to {most} and a change of {slope} a second at most")
                });
            }
            (speed, last_s) = (next, time_s);
        }
    }
}

/// Half of the jump in beats before the spawn offset: the game's own reckoning, down to one beat.
fn half_jump_beats(njs: f64, bpm: f64) -> f64 {
    let mut half = HALF_JUMP_BEATS;
    while half > 1.0 && njs * 60.0 / bpm * half > HALF_JUMP_M {
        half /= 2.0;
    }
    half
}

/// Time between a note's appearance and its cut in seconds; infinite without a tempo.
pub fn reaction_s(njs: f64, spawn_offset_beats: f64, bpm: f64) -> f64 {
    if bpm <= 0.0 {
        return f64::INFINITY;
    }
    let [least] = CLAMPED_OFFSET.at(Preset::Default).unwrap_or([0.0]);
    (half_jump_beats(njs, bpm) + spawn_offset_beats).max(least) * 60.0 / bpm
}

/// Something else than a note.
struct Other {
    beat: f64,
    time_s: f64,
    x: f64,
    y: f64,
    bomb: bool,
}

/// Basic events that are lights.
const LIGHT_TYPES: [i32; 9] = [0, 1, 2, 3, 4, 6, 7, 10, 11];

/// Reasons of the machine that are rules, but for parity and sliders, which are judged by whole swings.
const NOTE_RULES: [(Reasons, &Rule); 12] = [
    (Reasons::DOUBLE_DIRECTIONAL, &DOUBLE_DIRECTIONAL),
    (Reasons::EFFECTIVE_BPM, &EFFECTIVE_BPM),
    (Reasons::STACKED_NOTE, &STACKED_NOTE),
    (Reasons::PARALLEL_NOTES, &PARALLEL_NOTES),
    (Reasons::HANDCLAP, &HANDCLAP),
    (Reasons::HITBOX_PATH, &HITBOX_PATH),
    (Reasons::HITBOX_INLINE, &HITBOX_INLINE),
    (Reasons::HITBOX_STAIR, &HITBOX_STAIR),
    (Reasons::HITBOX_REVERSE_STAIR, &HITBOX_REVERSE_STAIR),
    (Reasons::INLINE_ANGLE, &INLINE_ANGLE),
    (Reasons::SHRADO_ANGLE, &SHRADO_ANGLE),
    (Reasons::VISION_BLOCK, &VISION_BLOCK),
];

/// What to tell a mapper.
fn sentence(reason: Reasons, bounds: &Bounds) -> String {
    let text = match reason {
        Reasons::DOUBLE_DIRECTIONAL => "the hand cuts in the direction it has just cut in; turn one of the two arrows",
        Reasons::EFFECTIVE_BPM => {
            let [note, swing] = bounds.effective_bpm();
            return format!(
                "the hand has to swing at more than {note:.0} BPM from note to note, or {swing:.0} from swing to swing; \
                 leave notes out"
            );
        }
        Reasons::STACKED_NOTE => "two notes lie in one cell at one time; remove one",
        Reasons::PARALLEL_NOTES => {
            "two notes of one hand point the same way side by side, so no swing cuts both; put one behind the other"
        }
        Reasons::HANDCLAP => {
            "the hands cut towards or away from each other here, so the controllers clash; move or turn one note"
        }
        Reasons::HITBOX_PATH => "one saber has to come through the other hand's note; move or turn one of the two",
        Reasons::HITBOX_INLINE => {
            "the note comes right behind one of the other hand, too close to be cut apart; move it"
        }
        Reasons::HITBOX_STAIR => "the other saber has just left through this cell; move the note, or give it more time",
        Reasons::HITBOX_REVERSE_STAIR => "the note points at one of the other hand that has just come; move or turn it",
        Reasons::INLINE_ANGLE => {
            "the note comes right behind the hand's last one and its arrow turns only part of the way; turn it around"
        }
        Reasons::SHRADO_ANGLE => {
            "the hand cuts up elsewhere soon after cutting inward and down; give it more time or another arrow"
        }
        _ => "a note or bomb at eye level in the middle hides this note; move one of them",
    };
    text.to_owned()
}

/// Rows within a distance of a beat; of a list sorted by beat.
fn around<T>(rows: &[T], beat: f64, apart: f64, of: impl Fn(&T) -> f64) -> &[T] {
    let begin = rows.partition_point(|row| of(row) < beat - apart);
    let end = rows.partition_point(|row| of(row) <= beat + apart);
    rows.get(begin..end.max(begin)).unwrap_or_default()
}

fn misshapen(chain: &Chain, cells: f64, deg: f64) -> bool {
    let (head, tail) =
        ((coordinate(chain.x), coordinate(chain.y)), (coordinate(chain.tail_x), coordinate(chain.tail_y)));
    if (tail.0 - head.0).hypot(tail.1 - head.1) <= cells {
        return true;
    }
    let arrow = u8::try_from(chain.cut).ok().filter(|&cut| cut < ANY);
    arrow.is_some_and(|cut| super::between_deg(cut_deg(cut), way_deg(head, tail)) > deg)
}

/// Beats of the first and the last note, bomb or wall in reach.
fn interactive(level: &Difficulty) -> Option<(f64, f64)> {
    let walls = || level.obstacles.iter().filter(|wall| wall.x < 4 && wall.x.saturating_add(wall.width) > 0);
    let first = [level.notes.first().map(|note| note.beat), level.bombs.first().map(|bomb| bomb.beat)];
    let first = first.into_iter().flatten().chain(walls().map(|wall| wall.beat)).reduce(f64::min)?;
    let last = [level.notes.last().map(|note| note.beat), level.bombs.last().map(|bomb| bomb.beat)];
    let ends = walls().map(|wall| wall.beat + wall.duration_beats.max(0.0));
    let ends = ends.chain(level.chains.iter().map(|chain| chain.tail_beat));
    let last = last.into_iter().flatten().chain(ends).reduce(f64::max)?;
    Some((first, last))
}

/// Swings per second between the first and the last object.
fn swings_per_s(level: &Difficulty, facts: &Facts, clock: &TempoMap) -> Option<f64> {
    let (first, last) = interactive(level)?;
    let span_s = clock.seconds(last) - clock.seconds(first);
    (span_s > 0.0).then(|| facts.len() as f64 / span_s)
}

/// How the levels of a song follow each other.
fn progression(found: &mut Vec<Finding>, preset: Preset, mut levels: Vec<(f64, &DifficultyInfo)>, song_s: Option<f64>) {
    let Some([song, short, middle, short_sps, middle_sps, long_sps, of_top, least, most]) = PROGRESSION.at(preset)
    else {
        return;
    };
    let order =
        |info: &DifficultyInfo| RANKS.iter().find(|rank| rank.0 == info.difficulty).map_or(info.rank, |rank| rank.1);
    levels.sort_by_key(|level| order(level.1));
    let Some(song_s) = song_s.filter(|&length| length < song) else { return };
    let (Some(lowest), Some(top)) = (levels.first(), levels.last()) else { return };
    let mut say = |info: &DifficultyInfo, message: String| {
        found.push(Finding {
            rule: PROGRESSION.id,
            severity: PROGRESSION.severity,
            characteristic: Some(info.characteristic.clone()),
            difficulty: Some(info.difficulty.clone()),
            file: info.file.clone(),
            place: String::new(),
            beat: None,
            time_s: None,
            message,
            count: 1,
        });
    };
    let allowed = if song_s < short {
        short_sps
    } else if song_s < middle {
        middle_sps
    } else {
        long_sps
    };
    let allowed = allowed.max(of_top * top.0);
    if lowest.0 > allowed {
        say(
            lowest.1,
            format!(
                "the easiest level has {:.2} swings a second, expected at most {allowed:.2}; add an easier one",
                lowest.0
            ),
        );
    }
    for pair in levels.windows(2) {
        let (easier, harder) = (pair[0], pair[1]);
        let drop = 1.0 - easier.0 / harder.0;
        if harder.0 > 0.0 && !(least..=most).contains(&drop) {
            say(
                easier.1,
                format!(
                    "the level has {:.0} % fewer swings a second than {}, expected {:.0} to {:.0} %",
                    drop * 100.0,
                    harder.1.difficulty,
                    least * 100.0,
                    most * 100.0
                ),
            );
        }
    }
}
