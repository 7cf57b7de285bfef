import { beforeEach, expect, test, vi } from 'vitest';
import { Midi, read } from '../../src/perform/midi.svelte';

const act = { turn: vi.fn(), press: vi.fn() };
const save = vi.fn();
let midi: Midi;
beforeEach(() => {
  vi.clearAllMocks();
  midi = new Midi({}, save, act);
});

test('knobs and keys are read, clocks and the rest are not', () => {
  expect(read([0xb0, 21, 127])).toEqual({ control: 'cc:0:21', value: 1 });
  expect(read([0x99, 36, 0])).toEqual({ control: 'note:9:36', value: 0 });
  expect(read([0x89, 36, 64])).toEqual({ control: 'note:9:36', value: 0 });
  expect(read([0xf8])).toBeNull();
  expect(read([])).toBeNull();
});

test('a knob does what it learnt, and what it learnt is kept', () => {
  midi.take([0xb0, 21, 64]);
  expect(act.turn).not.toHaveBeenCalled();
  midi.learning = 'strength';
  midi.take([0xb0, 21, 64]);
  expect(midi.learning).toBeNull();
  expect(save).toHaveBeenCalledWith({ 'cc:0:21': 'strength' });
  midi.take([0xb0, 21, 127]);
  expect(act.turn).toHaveBeenCalledWith('strength', 1);
  expect(midi.controlOf('strength')).toBe('cc:0:21');
});

test('a key presses once, and letting it go is neither learnt nor pressed', () => {
  midi.learning = 'next';
  midi.take([0x80, 36, 0]);
  expect(midi.learning).toBe('next');
  midi.take([0x90, 36, 100]);
  midi.take([0x90, 36, 100]);
  midi.take([0x80, 36, 0]);
  expect(act.press.mock.calls).toEqual([['next']]);
});

test('what is learnt anew forgets its old control', () => {
  midi = new Midi({ 'cc:0:1': 'mix' }, save, act);
  midi.learning = 'mix';
  midi.take([0xb0, 2, 10]);
  expect(midi.learnt).toEqual({ 'cc:0:2': 'mix' });
});
