// Reads lines of `cargo run --example dump` and compares, object by object and field by field, with what bsmap reads from
// the same files. Every difference must be one of the known ones below, and as many of them as the file itself explains.
import { createInterface } from 'node:readline';
import { loadDifficulty, loadLightshow, TimeProcessor } from 'bsmap';

// bsmap says much on the way.
console.warn = console.info = console.debug = () => {};

const counts = new Map(); // objects compared, by kind
const known = new Map(); // differences that are known, by what is different: [count, example]
const wrong = [];
let levels = 0;
let seconds = 0;

const add = (map, key, n = 1) => map.set(key, (map.get(key) ?? 0) + n);
const note = (what, n, example) => {
  if (n > 0) known.set(what, [(known.get(what)?.[0] ?? 0) + n, known.get(what)?.[1] ?? example]);
};

/** Rows of numbers from bsmap's objects, in the order of the dump. */
function rowsOf(difficulty, lightshow) {
  const filter = (f) => [[f.type, f.p0, f.p1, f.reverse, f.chunks, f.random, f.seed, f.limitAffectsType], f.limit];
  const box = (b, value, event) => [
    ...filter(b.filter),
    [b.beatDistribution, b[value]],
    [b.beatDistributionType, b[value + 'Type'], b.affectFirst, b.easing, b.axis ?? 0, b.flip ?? 0],
    b.events.map((e) => {
      const color = event === 'brightness' ? [e.color, e.frequency, e.strobeBrightness, e.strobeFade] : [0, 0, 0, 0];
      return [e.time, e.previous, e.easing, e[event], color, e.direction ?? 0, e.loop ?? 0];
    }),
  ];
  const group = (kind, value, event) => (g) => [g.time, g.id, kind, g.boxes.map((b) => box(b, value, event))];
  const d = difficulty;
  const l = lightshow;
  return {
    notes: d.colorNotes.map((n) => [n.time, n.posX, n.posY, n.color, n.direction, n.angleOffset, n.laneRotation]),
    bombs: d.bombNotes.map((n) => [n.time, n.posX, n.posY, n.laneRotation]),
    walls: d.obstacles.map((o) => [o.time, o.posX, o.posY, o.duration, o.width, o.height, o.laneRotation]),
    arcs: d.arcs.map((a) => [a.time, a.posX, a.posY, a.color, a.direction, a.lengthMultiplier, a.tailTime, a.tailPosX,
      a.tailPosY, a.tailDirection, a.tailLengthMultiplier, a.midAnchor, a.laneRotation, a.tailLaneRotation]),
    chains: d.chains.map((c) => [c.time, c.posX, c.posY, c.color, c.direction, c.tailTime, c.tailPosX, c.tailPosY,
      c.sliceCount, c.squish, c.laneRotation, c.tailLaneRotation]),
    lights: l.basicEvents.map((e) => [e.time, e.type, e.value, e.floatValue]),
    boosts: l.colorBoostEvents.map((e) => [e.time, +e.toggle]),
    rotations: d.rotationEvents.map((e) => [e.time, e.executionTime, e.rotation]),
    tempo: d.bpmEvents.map((e) => [e.time, e.bpm]),
    waypoints: l.waypoints.map((w) => [w.time, w.posX, w.posY, w.direction]),
    njs: d.njsEvents.map((e) => [e.time, e.value, e.previous, e.easing]),
    keywords: l.basicEventTypesWithKeywords.list.map((k) => [k.keyword, k.events]),
    groups: [
      ...l.lightColorEventBoxGroups.map(group(0, 'brightnessDistribution', 'brightness')),
      ...l.lightRotationEventBoxGroups.map(group(1, 'rotationDistribution', 'rotation')),
      ...l.lightTranslationEventBoxGroups.map(group(2, 'gapDistribution', 'translation')),
      ...l.fxEventBoxGroups.map(group(3, 'fxDistribution', 'value')),
    ],
  };
}

/** What is in `a` and not in `b`, as a multiset. */
function rest(a, b) {
  const left = new Map();
  for (const row of b) add(left, JSON.stringify(row));
  return a.filter((row) => {
    const key = JSON.stringify(row);
    const n = left.get(key) ?? 0;
    if (n > 0) left.set(key, n - 1);
    return n === 0;
  });
}

/**
 * The known differences, each found by a look at the file alone: a row as bsmap gives it, the row it should be (or null),
 * and why. What they explain is taken from both sides; nothing else may be left.
 */
function* explained(json, version, kind) {
  const old = version[0] < 2 || (version[0] === 2 && version[1] < 5);
  if (version[0] === 4 && kind === 'rotations') {
    for (const e of json.spawnRotations ?? []) {
      const data = json.spawnRotationsData?.[e.i ?? 0] ?? {};
      const row = (late) => [e.b ?? 0, late, data.r ?? 0];
      if (data.t) yield [row(data.e ?? 0), row(data.t | (data.e ?? 0)), 'bsmap: late turns of version 4.0 by the letter `t` (as BeatSaver has it) are early'];
    }
  }
  if (version[0] > 2) return;
  const events = json._events ?? [];
  if (kind === 'notes') {
    for (const n of json._notes ?? []) {
      if (![0, 1, 3].includes(n._type ?? 0)) {
        const row = [n._time ?? 0, n._lineIndex ?? 0, n._lineLayer ?? 0, 0, n._cutDirection ?? 0, 0, 0];
        yield [row, null, 'bsmap: notes of an unknown type become red notes'];
      }
    }
  }
  if (kind === 'walls') {
    for (const o of json._obstacles ?? []) {
      const type = o._type ?? 0;
      const row = (y, height) => [o._time ?? 0, o._lineIndex ?? 0, y, o._duration ?? 0, o._width ?? 0, height, 0];
      if (type === 2) yield [row(0, 0), row(o._lineLayer ?? 0, o._height ?? 0), 'bsmap: walls of type 2 lose row and height'];
      else if (type >= 1000 && type <= 4000) {
        const height = (type - 1000) * 5 + 1000;
        yield [row(1000, height), row(0, height), 'walls of precise height from the floor: row 1000 in bsmap, 0 here, the same place'];
      }
    }
  }
  if (kind === 'arcs') {
    for (const a of json._sliders ?? []) {
      yield [null, [a._headTime, a._headLineIndex, a._headLineLayer, a._colorType, a._headCutDirection,
        a._headControlPointLengthMultiplier, a._tailTime, a._tailLineIndex, a._tailLineLayer, a._tailCutDirection,
        a._tailControlPointLengthMultiplier, a._sliderMidAnchorMode, 0, 0].map((v) => v ?? 0),
      'bsmap: arcs of version 2.6 are dropped'];
    }
  }
  for (const e of events) {
    const [time, type, value, float] = [e._time ?? 0, e._type ?? 0, e._value ?? 0, e._floatValue];
    const light = old && type === 10 && !(value > 12 && value < 2e9);
    if (light && kind === 'lights') yield [null, [time, type, value, float ?? 1], 'bsmap: lights of type 10 before 2.5 are tempo changes'];
    if (light && kind === 'tempo') yield [[time, float ?? value], null, 'bsmap: lights of type 10 before 2.5 are tempo changes (the same)'];
    if (kind === 'rotations' && (type === 14 || type === 15) && Math.abs(value - 1360) >= 360 && value >= 1000) {
      const row = (degrees) => [time, +(type === 15), degrees];
      yield [row((value - 1360) % 360), row(value - 1360), 'whole turns: bsmap leaves them out'];
    }
  }
}

function compare(line) {
  const { level, version, bpm, file, lights, objects, seconds: times } = JSON.parse(line);
  levels += 1;
  let json;
  try {
    json = JSON.parse(file);
  } catch {
    note('files with comments or trailing commas: bsmap takes JSON only', 1, level);
    return;
  }
  let theirs;
  try {
    const beatmap = loadDifficulty(json);
    const lightshow = lights ? loadLightshow(JSON.parse(lights)).lightshow : beatmap.lightshow;
    theirs = rowsOf(beatmap.difficulty, lightshow);
  } catch (error) {
    wrong.push(`${level}: bsmap throws ${error}`);
    return;
  }
  for (const [kind, rows] of Object.entries(objects)) {
    add(counts, kind, rows.length);
    let ours = rest(rows, theirs[kind]);
    let others = rest(theirs[kind], rows);
    if (ours.length + others.length === 0) continue;
    for (const [row, should, why] of explained(json, version, kind)) {
      const take = (list, row) => row === null || list.some((r, i) => JSON.stringify(r) === JSON.stringify(row) && list.splice(i, 1));
      // Both sides, or the difference is another one.
      const here = should === null || ours.some((r) => JSON.stringify(r) === JSON.stringify(should));
      const there = row === null || others.some((r) => JSON.stringify(r) === JSON.stringify(row));
      if (here && there && take(ours, should) && take(others, row)) note(why, 1, level);
    }
    if (ours.length + others.length > 0) {
      const show = (list) => `${list.length} (${list.slice(0, 2).map((r) => JSON.stringify(r)).join(' ')})`;
      wrong.push(`${level}: ${kind}: only here ${show(ours)}, only in bsmap ${show(others)}`);
    }
  }
  // Version 4 is timed by the audio data, which bsmap's clock does not read.
  if (version[0] === 4 || times === null) return;
  if (objects.tempo.some((e) => e[0] < 0)) {
    note('bsmap: tempo changes before beat 0 move beat 0', 1, level);
    return;
  }
  const clock = TimeProcessor.create(bpm, objects.tempo.map(([b, m]) => ({ b, m })));
  for (const [kind, list] of Object.entries(times)) {
    list.forEach((time, i) => {
      const beat = objects[kind][i][0];
      const theirs = clock.toRealTime(beat);
      seconds += 1;
      if (beat < 0 && objects.tempo.some((e) => e[0] === 0)) {
        note('bsmap: a tempo change on beat 0 does not hold before it (in the game it does)', 1, level);
        return;
      }
      // Far beyond any song the last digits of a float are larger than that.
      if (Math.abs(time - theirs) > Math.max(1e-6, Math.abs(theirs) * 1e-9)) {
        wrong.push(`${level}: ${kind} at beat ${beat}: ${time} s here, ${theirs} s in bsmap`);
      }
    });
  }
}

for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) compare(line);

const total = [...counts.values()].reduce((a, b) => a + b, 0);
console.log(`${levels} levels, ${total} objects compared, ${seconds} times compared`);
console.log([...counts].map(([kind, n]) => `  ${kind} ${n}`).join('\n'));
console.log('known differences:');
for (const [what, [n, example]] of known) console.log(`  ${n} × ${what}, for example ${example}`);
console.log(`${wrong.length} differences that are not known`);
for (const line of wrong.slice(0, 20)) console.log(`  ${line}`);
process.exit(wrong.length > 0 || levels === 0 ? 1 : 0);
