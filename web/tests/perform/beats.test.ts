import { expect, test } from 'vitest';
import { Beats, level } from '../../src/perform/beats';

const tone = (amplitude: number) =>
  Float32Array.from({ length: 1024 }, (_, i) => amplitude * Math.sin(i / 5));

test('the level grows with loudness, from 0 to 1', () => {
  expect(level(new Float32Array(1024))).toBe(0);
  expect(level(tone(0.0001))).toBe(0);
  expect(level(tone(1))).toBe(1);
  expect(level(tone(0.01))).toBeLessThan(level(tone(0.1)));
});

test('four to the bar are four beats, with a tail behind each', () => {
  const beats = new Beats();
  const heard: number[] = [];
  for (let tick = 0; tick < 200; tick++) {
    const since = tick % 10; // a kick every half a second
    const kick = since === 0 ? 0.9 : Math.max(0.1, 0.5 - since / 10);
    if (beats.hear(kick, tick / 20)) heard.push(tick);
  }
  expect(heard.filter((tick) => tick % 10 === 0)).toHaveLength(20);
  expect(heard.length).toBeLessThanOrEqual(21);
});

test('an even noise and a whisper are no beats', () => {
  const even = new Beats();
  const heard = Array.from({ length: 400 }, (_, tick) => even.hear(0.6, tick / 20));
  expect(heard.slice(60)).not.toContain(true); // the first ones are louder than silence
  const quiet = new Beats();
  expect(quiet.hear(0.2, 0)).toBe(false);
});
