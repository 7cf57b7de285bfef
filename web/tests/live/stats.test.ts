import { expect, test } from 'vitest';
import { ceiling, line, remember, SAMPLES } from '../../src/live/history';
import { age_ms, median } from '../../src/rtc/latency';
import { duration, fileName } from '../../src/ui/save';

const STAMP = { rtp: 1_000_000, captured_ms: 50_000 };

test('the age of a frame follows from the time it carries', () => {
  expect(age_ms(STAMP, 1_000_000, 50_080)).toBe(80);
  expect(age_ms(STAMP, 1_000_000 + 90 * 500, 50_580)).toBe(80);
  expect(age_ms(STAMP, 1_000_000 - 90 * 500, 49_580)).toBe(80);
});

test('RTP times wrap', () => {
  const captured = { rtp: 2 ** 32 - 900, captured_ms: 50_000 };
  expect(age_ms(captured, 900, 50_120)).toBe(100);
});

test.each([49_999, 70_000])('a clock of another machine gives no age', (shown_ms) => {
  expect(age_ms(STAMP, STAMP.rtp, shown_ms)).toBeNull();
});

test('the median of nothing is unknown', () => {
  expect(median([])).toBeNull();
  expect(median([30, 10, 20])).toBe(20);
});

test('the history forgets, and is drawn with the newest at the right', () => {
  const sample = { in_fps: 30, out_fps: 15, latency_ms: 50 };
  let past: (typeof sample)[] = [];
  for (let i = 0; i < SAMPLES + 5; i++) past = remember(past, { ...sample, out_fps: i });
  expect(past).toHaveLength(SAMPLES);
  expect(past[0]?.out_fps).toBe(5);
  expect(line([0, 30], 30, SAMPLES - 1, 10)).toBe(`${SAMPLES - 2}.0,10.0 ${SAMPLES - 1}.0,0.0`);
  expect(line([99], 30, 10, 10)).toBe('10.0,0.0');
  expect(ceiling([12, 31], 30)).toBe(60);
  expect(ceiling([], 30)).toBe(30);
});

test('files are named by look and time, times read as a clock', () => {
  const at = new Date(2026, 4, 1, 18, 5, 3);
  expect(fileName('a:0.5,b:0.5', 'png', at)).toBe('streamer-a-0.5-b-0.5-2026-05-01-180503.png');
  expect(duration(65.9)).toBe('1:05');
  expect(duration(3600)).toBe('1:00:00');
});
