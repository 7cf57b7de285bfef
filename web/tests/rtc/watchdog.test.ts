import { expect, test } from 'vitest';
import { Watchdog } from '../../src/rtc/watchdog';

/** `frozen` second by second. */
const watch = (frames: [sent: number, decoded: number][]) => {
  const watchdog = new Watchdog(3);
  return frames.map(([sent, decoded], second) => watchdog.frozen(sent, decoded, second));
};

test('video that moves is not frozen, however slowly', () => {
  expect(
    watch([
      [30, 1],
      [60, 1],
      [90, 1],
      [120, 2],
      [150, 2],
      [180, 2],
    ]),
  ).not.toContain(true);
});

test('video that stands still while frames go out is frozen', () => {
  expect(
    watch([
      [30, 9],
      [60, 9],
      [90, 9],
      [120, 9],
    ]),
  ).toEqual([false, false, false, true]);
});

test('a camera without frames is not frozen video', () => {
  expect(
    watch([
      [30, 9],
      [30, 9],
      [30, 9],
      [30, 9],
      [30, 9],
      [30, 9],
    ]),
  ).not.toContain(true);
});

test('what was frozen and moves again is well', () => {
  expect(
    watch([
      [1, 1],
      [2, 1],
      [3, 1],
      [4, 1],
      [5, 2],
    ]).slice(3),
  ).toEqual([true, false]);
});
