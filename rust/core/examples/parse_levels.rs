//! Parses every level file of a folder to the model, five times on one thread, and prints the best rate as JSON.
//!
//! `cargo run --release --example parse_levels FOLDER`; `benchmarks/maps.py` sets it beside the peers.

use std::path::Path;
use std::time::Instant;

use beatweaver_core::Limits;
use beatweaver_core::map::read_level;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: parse_levels FOLDER")?;
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    for entry in std::fs::read_dir(Path::new(&folder))? {
        let path = entry?.path();
        files.push((path.display().to_string(), std::fs::read(&path)?));
    }
    let bytes: usize = files.iter().map(|f| f.1.len()).sum();
    let limits = Limits::default();
    let (mut best, mut objects) = (f64::INFINITY, 0);
    for _ in 0..5 {
        let began = Instant::now();
        objects = 0;
        for (name, text) in &files {
            let (level, _) = read_level(text, name, &limits)?;
            objects += level.notes.len() + level.bombs.len() + level.obstacles.len() + level.lights.len();
        }
        best = best.min(began.elapsed().as_secs_f64());
    }
    let rate = bytes as f64 / best / 1e6;
    let line =
        format!("{{\"files\": {}, \"bytes\": {bytes}, \"objects\": {objects}, \"mb_per_s\": {rate:.1}}}", files.len());
    std::io::Write::write_all(&mut std::io::stdout(), line.as_bytes())?;
    Ok(())
}
