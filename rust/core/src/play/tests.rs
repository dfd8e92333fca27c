//! Every rule: a level that breaks it, and one that just does not.

use super::*;
use crate::map::rules::Finding;
use crate::map::{Arc, Bomb, Chain, Difficulty, DifficultyInfo, Light, NjsEvent, Note, Obstacle};

const BPM: f64 = 120.0;
const UP: i32 = 0;
const DOWN: i32 = 1;
const LEFT: i32 = 2;
const RIGHT: i32 = 3;
const DOT: i32 = 8;

fn note(beat: f64, x: i32, y: i32, color: i32, cut: i32) -> Note {
    Note { beat, x, y, color, cut, ..Note::default() }
}

fn bomb(beat: f64, x: i32, y: i32) -> Bomb {
    Bomb { beat, x, y, ..Bomb::default() }
}

fn wall(beat: f64, duration_beats: f64, x: i32, width: i32) -> Obstacle {
    Obstacle { beat, duration_beats, x, width, height: 5, ..Obstacle::default() }
}

/// A level and what surrounds it; half a second a beat.
struct Made {
    level: Difficulty,
    info: DifficultyInfo,
    duration_s: Option<f64>,
}

fn made(level: Difficulty) -> Made {
    let info = DifficultyInfo {
        characteristic: "Standard".into(),
        difficulty: "ExpertPlus".into(),
        rank: 9,
        njs: 16.0,
        ..DifficultyInfo::default()
    };
    Made { level, info, duration_s: None }
}

fn notes(notes: &[Note]) -> Made {
    made(Difficulty { notes: notes.to_vec(), ..Difficulty::default() })
}

impl Made {
    fn bombs(mut self, bombs: &[Bomb]) -> Self {
        self.level.bombs = bombs.to_vec();
        self
    }
    fn walls(mut self, walls: &[Obstacle]) -> Self {
        self.level.obstacles = walls.to_vec();
        self
    }
    fn jump(mut self, njs: f64, spawn_offset_beats: f64) -> Self {
        (self.info.njs, self.info.spawn_offset_beats) = (njs, spawn_offset_beats);
        self
    }
    fn found(&self, preset: Preset) -> Vec<Finding> {
        let clock = TempoMap::constant(BPM, 0.0).expect("tempo");
        let context = Context { info: &self.info, bpm: BPM, clock: &clock, duration_s: self.duration_s };
        let facts = facts(&self.level, &clock);
        let found = problems(&self.level, &facts, preset, &context);
        assert_eq!(found, problems(&self.level, &facts, preset, &context), "judged in two ways");
        found
    }
}

/// Rule, preset, a level that breaks it and one that does not.
fn cases() -> Vec<(&'static str, Preset, Made, Made)> {
    use Preset::{Beginner, Default as Plain, ScoreSaber};
    let one = |cut| note(4.0, 1, 0, 0, cut);
    let two = |second: Note| notes(&[note(4.0, 1, 0, 0, DOWN), second]);
    let lights = |count: i32, off_beat: f64| {
        let light = |beat: f64, value| Light { beat, kind: 1, value, brightness: 1.0, ..Light::default() };
        let mut made = notes(&[one(DOWN)]).bombs(&[bomb(8.0, 0, 0)]);
        made.level.lights = (0..count).map(|_| light(4.0, 1)).chain([light(off_beat, 0)]).collect();
        made
    };
    let arc = |tail_beat: f64| {
        let mut made = notes(&[one(DOWN)]);
        made.level.arcs = vec![Arc { beat: 4.0, x: 1, tail_beat, tail_x: 1, tail_y: 2, ..Arc::default() }];
        made
    };
    let chain = |cut: i32, tail_x: i32| {
        let mut made = notes(&[one(DOWN)]);
        let chain = Chain {
            beat: 4.0,
            x: 1,
            y: 0,
            cut,
            tail_beat: 4.1,
            tail_x,
            tail_y: -1,
            slices: 3,
            squish: 1.0,
            ..Chain::default()
        };
        made.level.chains = vec![chain];
        made
    };
    let speeds = |delta: f64| {
        let mut made = notes(&[one(DOWN)]);
        made.level.njs_events = vec![NjsEvent { beat: 8.0, delta, easing: -1, ..NjsEvent::default() }];
        made
    };
    let turned = |angle: i32| notes(&[Note { angle, ..one(DOT) }]);
    let low_wall = |height: i32| notes(&[one(DOWN)]).walls(&[Obstacle { height, ..wall(8.0, 1.0, 0, 1) }]);
    let saber = |color: i32| {
        let mut made = notes(&[note(4.0, 1, 0, color, DOWN)]);
        made.info.characteristic = "OneSaber".into();
        made
    };
    let ending = |beat: f64| {
        let mut made = notes(&[one(DOWN), note(beat, 1, 0, 0, UP)]);
        made.duration_s = Some(10.0);
        made
    };
    let silent_end = |duration_s: f64| {
        let mut made = notes(&[one(DOWN)]);
        made.duration_s = Some(duration_s);
        made
    };
    let pair = |beat: f64| [note(beat, 1, 0, 0, UP), note(beat, 2, 0, 1, UP)];
    vec![
        ("parity-break", Plain, two(note(5.0, 1, 0, 0, DOWN)), two(note(5.0, 1, 0, 0, UP))),
        (
            "parity-break",
            Plain,
            notes(&[one(DOWN), note(6.0, 1, 0, 0, DOWN)]),
            notes(&[one(DOWN), note(6.0, 1, 0, 0, DOWN)]).bombs(&[bomb(5.0, 1, 0)]),
        ),
        ("parity-strain", Plain, two(note(5.0, 1, 0, 0, RIGHT)), two(note(5.0, 1, 0, 0, 4))),
        ("parity-flow", Plain, two(note(5.0, 1, 0, 0, DOWN)), two(note(5.0, 1, 0, 0, UP))),
        ("parity-flow", Plain, two(note(4.14, 1, 0, 0, DOWN)), two(note(4.13, 1, 1, 0, DOWN))),
        ("double-directional", Plain, two(note(5.0, 1, 0, 0, 6)), two(note(5.0, 1, 0, 0, LEFT))),
        (
            "double-directional",
            Plain,
            notes(&[one(DOWN), note(5.0, 1, 0, 0, DOT), note(6.0, 1, 0, 0, UP)]),
            notes(&[one(DOWN), note(5.0, 1, 0, 0, DOT), note(6.0, 1, 0, 0, DOWN)]),
        ),
        ("effective-bpm", Plain, two(note(4.24, 1, 0, 0, UP)), two(note(4.26, 1, 0, 0, UP))),
        (
            "excessive-doubles",
            Plain,
            notes(&[pair(4.0).to_vec(), pair(5.0).to_vec(), vec![note(6.0, 1, 0, 0, UP)]].concat()),
            notes(
                &[
                    pair(4.0).to_vec(),
                    pair(5.0).to_vec(),
                    pair(6.0).to_vec(),
                    vec![note(7.0, 1, 0, 0, UP), note(8.0, 1, 0, 0, UP)],
                ]
                .concat(),
            ),
        ),
        ("stacked-note", Plain, two(note(4.019, 1, 0, 1, UP)), two(note(4.021, 1, 0, 1, UP))),
        (
            "stacked-bomb",
            Plain,
            notes(&[]).bombs(&[bomb(4.0, 0, 0), bomb(4.039, 0, 0)]),
            notes(&[]).bombs(&[bomb(4.0, 0, 0), bomb(4.041, 0, 0)]),
        ),
        ("parallel-notes", Plain, two(note(4.0, 0, 0, 0, DOWN)), two(note(4.0, 1, 1, 0, DOWN))),
        ("handclap", Plain, notes(&[one(RIGHT), note(4.0, 2, 0, 1, LEFT)]), notes(&[one(UP), note(4.0, 2, 0, 1, UP)])),
        (
            "handclap",
            Plain,
            notes(&[one(LEFT), note(4.0, 2, 0, 1, RIGHT)]),
            notes(&[one(LEFT), note(4.0, 3, 0, 1, RIGHT)]),
        ),
        ("hitbox-path", Plain, notes(&[one(LEFT), note(4.0, 2, 0, 1, UP)]), notes(&[one(4), note(4.0, 2, 0, 1, UP)])),
        (
            "hitbox-path",
            Plain,
            notes(&[one(DOWN)]).bombs(&[bomb(4.0, 1, 1)]),
            notes(&[one(DOWN)]).bombs(&[bomb(4.1, 1, 1)]),
        ),
        ("hitbox-inline", Plain, two(note(4.17, 1, 0, 1, UP)), two(note(4.19, 1, 0, 1, UP))),
        (
            "hitbox-stair",
            Plain,
            notes(&[one(DOWN), note(5.0, 1, 0, 0, UP), note(5.2, 1, 1, 1, UP)]),
            notes(&[one(DOWN), note(5.0, 1, 0, 0, UP), note(5.31, 1, 1, 1, UP)]),
        ),
        ("hitbox-reverse-stair", Plain, two(note(4.1, 2, 0, 1, LEFT)), two(note(4.12, 2, 0, 1, LEFT))),
        (
            "hammer-hit",
            Plain,
            notes(&[note(4.0, 1, 1, 0, DOWN)]).bombs(&[bomb(4.14, 1, 0)]),
            notes(&[note(4.0, 1, 1, 0, DOWN)]).bombs(&[bomb(4.16, 1, 0)]),
        ),
        (
            "hammer-hit",
            Plain,
            notes(&[note(4.0, 1, 1, 0, DOWN)]).bombs(&[bomb(3.76, 1, 2)]),
            notes(&[note(4.0, 1, 1, 0, DOWN)]).bombs(&[bomb(3.74, 1, 2)]),
        ),
        ("inline-angle", Plain, two(note(4.29, 1, 0, 0, LEFT)), two(note(4.31, 1, 0, 0, LEFT))),
        ("inline-angle", Beginner, two(note(4.49, 1, 0, 0, LEFT)), two(note(4.51, 1, 0, 0, LEFT))),
        (
            "shrado-angle",
            Beginner,
            notes(&[note(4.0, 0, 2, 0, 7), note(4.79, 1, 0, 0, UP)]),
            notes(&[note(4.0, 0, 2, 0, 7), note(4.81, 1, 0, 0, UP)]),
        ),
        (
            "improper-window",
            Plain,
            notes(&[note(4.0, 0, 0, 0, UP), note(4.005, 1, 2, 0, UP)]),
            notes(&[note(4.0, 0, 0, 0, UP), note(4.0, 1, 2, 0, UP)]),
        ),
        ("slow-slider", Plain, two(note(4.052, 1, 1, 0, DOT)), two(note(4.048, 1, 1, 0, DOT))),
        ("slow-slider", Beginner, two(note(4.042, 1, 1, 0, DOT)), two(note(4.038, 1, 1, 0, DOT))),
        (
            "vary-swing",
            Plain,
            notes(&[one(UP), note(4.02, 1, 1, 0, DOT), note(4.045, 1, 2, 0, DOT)]),
            notes(&[one(UP), note(4.02, 1, 1, 0, DOT), note(4.041, 1, 2, 0, DOT)]),
        ),
        (
            "vision-block",
            Plain,
            notes(&[note(4.0, 1, 1, 0, DOWN), note(4.98, 0, 0, 0, UP)]),
            notes(&[note(4.0, 1, 1, 0, DOWN), note(5.02, 0, 0, 0, UP)]),
        ),
        (
            "vision-block",
            Plain,
            notes(&[note(4.0, 2, 1, 1, DOWN)]).bombs(&[bomb(4.5, 3, 0)]),
            notes(&[note(4.0, 2, 1, 1, DOWN)]).bombs(&[bomb(4.5, 1, 0)]),
        ),
        ("off-beat", Plain, notes(&[note(4.06, 1, 0, 0, DOWN)]), notes(&[note(4.126, 1, 0, 0, DOWN)])),
        ("angle-offset", ScoreSaber, turned(46), turned(45)),
        ("one-saber", Plain, saber(0), saber(1)),
        ("one-color", Plain, notes(&[one(DOWN)]), notes(&pair(4.0))),
        ("improper-arc", Plain, arc(4.0), arc(5.0)),
        ("improper-arc", Plain, arc(5.0).bombs(&[bomb(5.0, 1, 2)]), arc(5.0).bombs(&[bomb(5.0, 0, 2)])),
        ("improper-chain", Plain, chain(UP, 1), chain(DOWN, 1)),
        ("improper-chain", Plain, chain(DOWN, 3), chain(DOWN, 1)),
        ("center-wall", Plain, notes(&[]).walls(&[wall(4.0, 1.0, 1, 2)]), notes(&[]).walls(&[wall(4.0, 1.0, 0, 2)])),
        (
            "center-wall",
            Plain,
            notes(&[]).walls(&[wall(4.0, 1.0, 0, 2), wall(5.49, 1.0, 2, 2)]),
            notes(&[]).walls(&[wall(4.0, 1.0, 0, 2), wall(5.51, 1.0, 2, 2)]),
        ),
        ("rankable-wall", ScoreSaber, low_wall(4), low_wall(5)),
        ("short-wall", Plain, notes(&[]).walls(&[wall(4.0, 0.028, 1, 1)]), notes(&[]).walls(&[wall(4.0, 0.032, 1, 1)])),
        ("insufficient-light", Plain, lights(10, 7.9), lights(11, 7.9)),
        ("unlit-bomb", Plain, lights(11, 7.4), lights(11, 7.6)),
        ("hot-start", Plain, notes(&[note(2.9, 1, 0, 0, DOWN)]), notes(&[note(3.0, 1, 0, 0, DOWN)])),
        ("outro", Plain, ending(16.1), ending(15.9)),
        ("outro", Plain, silent_end(17.1), silent_end(16.9)),
        ("jump-speed", Plain, notes(&[]).jump(23.5, 0.0), notes(&[]).jump(23.0, 0.0)),
        ("jump-speed", Plain, notes(&[]).jump(2.9, 0.0), notes(&[]).jump(3.0, 0.0)),
        ("jump-distance", Plain, notes(&[]).jump(16.0, 0.0), notes(&[]).jump(10.0, 0.0)),
        ("reaction-time", Plain, notes(&[]).jump(16.0, -1.2), notes(&[]).jump(16.0, -1.1)),
        ("clamped-offset", Plain, notes(&[]).jump(16.0, -1.8), notes(&[]).jump(16.0, -1.7)),
        ("variable-njs", Beginner, speeds(9.0), speeds(7.0)),
    ]
}

#[test]
fn every_rule_speaks_when_it_should_and_only_then() {
    let cases = cases();
    for (number, (rule, preset, breaks, keeps)) in cases.iter().enumerate() {
        let found = |made: &Made| made.found(*preset).into_iter().filter(|f| f.rule == *rule).collect::<Vec<_>>();
        let spoke = found(breaks);
        assert!(!spoke.is_empty(), "case {number}, {rule}: nothing was found");
        assert_eq!(found(keeps), [], "case {number}, {rule}");
        for finding in spoke {
            let known = rules().iter().find(|known| known.id == *rule).expect("known");
            assert_eq!(finding.severity, known.severity);
            assert!(finding.message.starts_with(|c: char| c.is_lowercase()), "{}", finding.message);
            assert_eq!(finding.time_s.is_some(), finding.beat.is_some());
        }
    }
    // The two that need a whole pack are tested with packs.
    for rule in rules().iter().filter(|rule| !["progression", "play-not-judged"].contains(&rule.id)) {
        assert!(cases.iter().any(|case| case.0 == rule.id), "{} has no case", rule.id);
    }
}

#[test]
fn presets_switch_rules_off() {
    for (rule, _, breaks, _) in &cases() {
        let known = rules().iter().find(|known| known.id == *rule).expect("known");
        for preset in Preset::ALL.into_iter().filter(|preset| !known.on[*preset as usize]) {
            assert!(breaks.found(preset).iter().all(|f| f.rule != *rule), "{rule} in {preset:?}");
        }
    }
    assert!(Preset::ALL.iter().all(|preset| Preset::named(preset.as_str()) == Some(*preset)));
}

#[test]
fn every_rule_has_a_name_of_its_own_and_numbers() {
    let mut names: Vec<_> = rules().iter().map(|rule| rule.id).collect();
    names.extend(map::rules::rules().iter().map(|rule| rule.0));
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    assert!(rules().iter().all(|rule| rule.on.contains(&true)), "a rule that no preset has");
    let numbers = rules().iter().flat_map(|rule| rule.limits).flat_map(|limit| limit.values);
    assert!(numbers.into_iter().all(f64::is_finite));
    for (_, name) in Reasons::NAMED {
        let own = ["reach-speed", "turn-speed"].contains(name);
        assert!(own || rules().iter().any(|rule| rule.id == *name), "{name}");
        assert!(Reasons::named(name).is_some_and(|reason| reason.names().eq([*name])));
    }
}

#[test]
fn a_swing_of_several_notes_is_one_row() {
    let clock = TempoMap::constant(BPM, 0.0).expect("tempo");
    let level = Difficulty {
        notes: vec![
            note(4.0, 1, 2, 0, DOWN),
            note(4.05, 1, 1, 0, DOT),
            note(4.05, 2, 0, 1, DOWN),
            note(4.1, 1, 0, 0, DOT),
            note(6.0, 3, 0, 0, UP),
        ],
        ..Difficulty::default()
    };
    let found = facts(&level, &clock);
    assert_eq!(found.hand, [Hand::Left, Hand::Right, Hand::Left]);
    assert_eq!((&found.first_note[..], &found.last_note[..]), (&[0, 2, 4][..], &[3, 2, 4][..]));
    assert_eq!((found.distance[2], found.crossover[2]), (2.0, true));
    assert!((found.gap_s[2] - 0.95).abs() < 1e-12 && (found.swing_bpm[2] - 30.0).abs() < 1e-12);
    assert_eq!(found.wrist.parity, [Parity::Forehand, Parity::Forehand, Parity::Backhand]);
    assert_eq!(found.alternation.flow, [Flow::Kept; 3]);
    assert_eq!(facts(&Difficulty::default(), &clock), Facts::default());
}

#[test]
fn dots_go_where_they_lead() {
    let clock = TempoMap::constant(BPM, 0.0).expect("tempo");
    let level = Difficulty { notes: vec![note(4.0, 0, 0, 1, DOT), note(4.05, 1, 1, 1, DOT)], ..Difficulty::default() };
    let found = facts(&level, &clock);
    assert_eq!((found.len(), found.angle_deg[0]), (1, 135.0));
    assert!(
        facts(&Difficulty { notes: vec![note(4.0, 0, 0, 1, DOT)], ..Difficulty::default() }, &clock).angle_deg[0]
            .is_nan()
    );
}

#[test]
fn a_bomb_turns_the_hand_back_in_both_models() {
    let clock = TempoMap::constant(BPM, 0.0).expect("tempo");
    let level = |color: i32, column: i32| Difficulty {
        notes: vec![note(4.0, 1, 0, color, DOWN), note(6.0, 1, 0, color, DOWN)],
        bombs: vec![bomb(5.0, column, 0)],
        ..Difficulty::default()
    };
    for (color, column) in [(0, 1), (1, 2)] {
        let found = facts(&level(color, column), &clock);
        for view in [&found.wrist, &found.alternation] {
            assert_eq!((&view.flow[..], &view.reset[..]), (&[Flow::Kept; 2][..], &[false, true][..]));
        }
    }
    // The other middle column turns the hand back by the directions alone.
    let found = facts(&level(0, 2), &clock);
    assert_eq!((found.wrist.flow[1], found.alternation.flow[1]), (Flow::Broken, Flow::Kept));
}

#[test]
fn hostile_levels_end_soon() {
    let clock = TempoMap::constant(BPM, 0.0).expect("tempo");
    let count = 20_000;
    let crowd = Difficulty {
        notes: (0..count).map(|i| note(4.0, 1000 + i * 700, i32::MIN + i, i % 3, DOT + i)).collect(),
        bombs: (0..count).map(|i| bomb(4.0, 1 + i % 2, 2 * (i % 2))).collect(),
        obstacles: (0..count).map(|i| wall(4.0, f64::from(i) - 1e4, i32::MAX - i % 3, i32::MAX)).collect(),
        arcs: vec![Arc { beat: 4.0, tail_beat: -4.0, ..Arc::default() }],
        chains: vec![Chain { beat: f64::MAX, slices: i32::MAX, ..Chain::default() }],
        ..Difficulty::default()
    };
    assert!(facts(&crowd, &clock).len() > 100);
    for preset in Preset::ALL {
        assert!(!made(crowd.clone()).found(preset).is_empty());
    }
}

#[test]
fn a_state_refuses_what_cannot_be() {
    let clock = TempoMap::constant(BPM, 0.0).expect("tempo");
    let setup = Setup { rank: 9, njs: 16.0, reaction_s: 0.5, bpm: None, avoid: Reasons::HARD };
    for (njs, reaction_s) in [(0.0, 0.5), (f64::NAN, 0.5), (16.0, 0.0)] {
        assert!(State::new(clock.clone(), Setup { njs, reaction_s, ..setup }).is_err());
    }
    let mut state = State::new(clock, setup).expect("state");
    let choice = Choice { x: 1, y: 0, cut: 1 };
    state.push(Hand::Left, 4.0, choice).expect("first");
    for (beat, choice) in
        [(3.9, choice), (f64::NAN, choice), (5.0, Choice { x: 4, ..choice }), (5.0, Choice { cut: 9, ..choice })]
    {
        assert!(state.push(Hand::Left, beat, choice).is_err(), "{beat} {choice:?}");
    }
    assert!(state.judge(Hand::Left, 4.0, choice).has(Reasons::STACKED_NOTE));
    assert!((0..CHOICES).all(|index| Choice::at(index).and_then(Choice::index) == Some(index)));
    assert_eq!((Choice::at(CHOICES), Choice { x: 0, y: 3, cut: 0 }.index()), (None, None));
}

#[test]
fn the_jump_is_the_games_own() {
    // 16 m/s at 120 BPM: 4 beats would be 32 m, 2 are 16 m.
    assert_eq!(reaction_s(16.0, 0.0, 120.0), 1.0);
    assert_eq!(reaction_s(16.0, -1.9, 120.0), 0.125);
    assert_eq!(reaction_s(16.0, 0.0, 0.0), f64::INFINITY);
}
