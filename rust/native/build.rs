//! Tells the crate which profile it is built in: Cargo passes that to build scripts only.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // OUT_DIR is target/PROFILE/build/..., and PROFILE is the only place where a custom profile keeps its own name
    // (the variable PROFILE says "release" for every profile that inherits from it).
    let profile = std::env::var("OUT_DIR").ok().and_then(|dir| {
        let parts: Vec<&str> = dir.split(['/', '\\']).collect();
        let build = parts.iter().rposition(|part| *part == "build")?;
        Some(parts.get(build.checked_sub(1)?)?.to_string())
    });
    println!("cargo::rustc-env=BEATWEAVER_PROFILE={}", profile.as_deref().unwrap_or("unknown"));
}
