// Reads levels as JSON lines from standard input, follows them with bsmap's own swings and parity, and prints one JSON line each:
// [row of a swing's first note, 0 kept | 1 awkward | 2 broken] for every swing.
import { createInterface } from 'node:readline';
import { Parity } from './node_modules/bsmap/esm/extensions/parity/mod.js';
import { next as begins } from './node_modules/bsmap/esm/extensions/swing/mod.js';

// Times come in seconds already.
const clock = { toRealTime: (seconds) => seconds };
const VERDICTS = { none: 0, warning: 1, error: 2 };

for await (const line of createInterface({ input: process.stdin })) {
  const level = JSON.parse(line);
  const notes = level.notes.map(([time, posX, posY, color, direction], row) => ({ row, time, posX, posY, color, direction, angleOffset: 0 }));
  const bombs = level.bombs.map(([time, posX, posY]) => ({ time, posX, posY, color: -1, direction: 0 }));
  const objects = [...notes, ...bombs].sort((a, b) => a.time - b.time || b.color - a.color);
  const hands = [0, 1].map((color) => ({
    parity: new Parity(notes, bombs, color, 90, 45, 90), swing: [], last: undefined, before: [], since: [],
  }));
  const swings = [];
  const finish = (hand) => {
    swings.push([hand.swing[0].row, VERDICTS[hand.parity.check(hand.swing, hand.before)]]);
    hand.parity.next(hand.swing, hand.before);
    [hand.before, hand.since, hand.swing] = [hand.since, [], []];
  };
  for (const object of objects) {
    if (object.color === -1) {
      for (const hand of hands) hand.since.push(object);
      continue;
    }
    const hand = hands[object.color];
    if (hand.last && begins(object, hand.last, clock, hand.swing)) finish(hand);
    hand.last = object;
    hand.swing.push(object);
  }
  for (const hand of hands) if (hand.swing.length) finish(hand);
  console.log(JSON.stringify(swings));
}
