//! Every level of a folder of packs, one JSON line each: its files as text and its objects as this library reads them, for
//! another reader to compare (see `tests/node`). Without a folder: twenty packs made up on the spot, of every version.
//!
//! `cargo run --example dump [FOLDER]`

#[path = "../tests/common/mod.rs"]
mod common;

use std::io::{self, Write};
use std::path::Path;

use beatweaver_core::Limits;
use beatweaver_core::map::pack::Pack;
use beatweaver_core::map::{Difficulty, EventBox, Song, read_text};
use beatweaver_core::timing::TempoMap;
use common::{Taste, difficulty, zip};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

/// Objects by kind, as rows of numbers in the order of `FIELDS` in the comparing script.
fn objects(d: &Difficulty) -> Value {
    fn boxed(b: &EventBox) -> Value {
        let f = &b.filter;
        let events = b.events.iter().map(|e| {
            let color = [json!(e.color), json!(e.strobe), json!(e.strobe_brightness), json!(e.strobe_fade)];
            json!([e.beat, e.previous, e.easing, e.value, color, e.direction, e.loops])
        });
        json!([
            [f.kind, f.p, f.t, f.reverse, f.chunks, f.random, f.seed, f.limit_affects],
            f.limit,
            [b.beat_distribution, b.value_distribution],
            [b.beat_distribution_type, b.value_distribution_type, b.affects_first, b.easing, b.axis, b.invert],
            events.collect::<Vec<_>>(),
        ])
    }
    // What version 2 marks as fake is a note to a reader that does not know mods.
    let fakes = if d.version.major < 3 { d.fakes.clone() } else { Default::default() };
    let notes = d.notes.iter().chain(&fakes.notes);
    let bombs = d.bombs.iter().chain(&fakes.bombs);
    let walls = d.obstacles.iter().chain(&fakes.obstacles);
    json!({
        "notes": notes.map(|n| json!([n.beat, n.x, n.y, n.color, n.cut, n.angle, n.lane])).collect::<Vec<_>>(),
        "bombs": bombs.map(|n| json!([n.beat, n.x, n.y, n.lane])).collect::<Vec<_>>(),
        "walls": walls.map(|o| json!([o.beat, o.x, o.y, o.duration_beats, o.width, o.height, o.lane])).collect::<Vec<_>>(),
        "arcs": d.arcs.iter().map(|a| json!([
            a.beat, a.x, a.y, a.color, a.cut, a.multiplier, a.tail_beat, a.tail_x, a.tail_y, a.tail_cut, a.tail_multiplier,
            a.mid_anchor, a.lane, a.tail_lane,
        ])).collect::<Vec<_>>(),
        "chains": d.chains.iter().map(|c| json!([
            c.beat, c.x, c.y, c.color, c.cut, c.tail_beat, c.tail_x, c.tail_y, c.slices, c.squish, c.lane, c.tail_lane,
        ])).collect::<Vec<_>>(),
        "lights": d.lights.iter().map(|e| json!([e.beat, e.kind, e.value, e.brightness])).collect::<Vec<_>>(),
        "boosts": d.boosts.iter().map(|e| json!([e.beat, u8::from(e.on)])).collect::<Vec<_>>(),
        "rotations": d.rotations.iter().map(|e| json!([e.beat, e.late, e.degrees])).collect::<Vec<_>>(),
        "tempo": d.tempo.iter().map(|e| json!([e.beat, e.bpm])).collect::<Vec<_>>(),
        "waypoints": d.waypoints.iter().map(|w| json!([w.beat, w.x, w.y, w.direction])).collect::<Vec<_>>(),
        "njs": d.njs_events.iter().map(|e| json!([e.beat, e.delta, e.previous, e.easing])).collect::<Vec<_>>(),
        "keywords": d.keywords.iter().map(|k| json!([k.keyword, k.events])).collect::<Vec<_>>(),
        "groups": d.groups.iter().map(|g| json!([
            g.beat, g.group, g.kind as u8, g.boxes.iter().map(boxed).collect::<Vec<_>>(),
        ])).collect::<Vec<_>>(),
    })
}

/// Seconds of every object, kind by kind, in the order of [`objects`].
fn seconds(rows: &Value, clock: &TempoMap) -> Value {
    let times = |rows: &Value| {
        let beats = rows.as_array().into_iter().flatten().map(|r| r[0].as_f64().unwrap_or(0.0));
        beats.map(|beat| Value::from(clock.seconds(beat))).collect::<Value>()
    };
    let timed = rows.as_object().into_iter().flatten().filter(|(kind, _)| *kind != "keywords");
    timed.map(|(kind, rows)| (kind.clone(), times(rows))).collect()
}

fn dump(out: &mut impl Write, name: &str, pack: &Pack) -> io::Result<()> {
    let limits = Limits::default();
    let song = Song::read_maps(pack, &limits).expect("song reads");
    for level in &song.levels {
        let Ok(d) = &level.level else { continue };
        let text = |file: &str| {
            let bytes = (!file.is_empty()).then(|| pack.read(file).ok()).flatten()?;
            read_text(&bytes, file, &limits).ok().map(|(text, _)| text.into_owned())
        };
        let rows = objects(d);
        let seconds = song.clock(d).map_or(Value::Null, |clock| seconds(&rows, &clock));
        let line = json!({
            "level": format!("{name} {}", level.info.file),
            "version": [d.version.major, d.version.minor],
            "bpm": song.info.bpm,
            "file": text(&level.info.file),
            "lights": text(&level.info.lightshow_file).filter(|_| d.version.major == 4),
            "objects": rows,
            "seconds": seconds,
        });
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn main() -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    if let Some(folder) = std::env::args().nth(1) {
        let mut paths: Vec<_> = std::fs::read_dir(folder)?.map(|e| Ok(e?.path())).collect::<io::Result<_>>()?;
        paths.sort();
        for path in paths {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            match Pack::open(&path, &Limits::default()) {
                Ok(pack) => dump(&mut out, &name, &pack)?,
                Err(error) => writeln!(io::stderr(), "skipped: {error}")?,
            }
        }
        return out.flush();
    }
    let mut runner = TestRunner::deterministic();
    for number in 0..20u8 {
        let taste = Taste { major: 2 + number % 3, common: false, rows: 12 };
        let mut d = difficulty(taste).new_tree(&mut runner).expect("a level").current();
        // The clocks are compared where both have one.
        d.tempo.retain(|e| e.beat >= 0.0 && (1.0..10_000.0).contains(&e.bpm));
        let (level, lights, _) = d.write(taste.major).expect("writes");
        let info = match taste.major {
            4 => {
                json!({ "version": "4.0.1", "song": { "title": "Own" }, "audio": { "bpm": 120 }, "difficultyBeatmaps": [
                { "characteristic": "Standard", "difficulty": "Easy", "beatmapDataFilename": "Level.dat", "lightshowDataFilename": "Lights.dat" },
            ] })
            }
            _ => json!({ "_version": "2.1.0", "_songName": "Own", "_beatsPerMinute": 120, "_difficultyBeatmapSets": [
                { "_beatmapCharacteristicName": "Standard", "_difficultyBeatmaps": [{ "_difficulty": "Easy", "_difficultyRank": 1, "_beatmapFilename": "Level.dat" }] },
            ] }),
        };
        let mut files = vec![("Info.dat".to_owned(), info.to_string().into_bytes()), ("Level.dat".to_owned(), level)];
        files.extend(lights.map(|bytes| ("Lights.dat".to_owned(), bytes)));
        let pack = Pack::from_bytes("made-up.zip", zip(&files), &Limits::default()).expect("pack opens");
        dump(&mut out, Path::new(&format!("made-up-{number:02}")).to_string_lossy().as_ref(), &pack)?;
    }
    out.flush()
}
