/** The microphone moves the look; it is listened to in this browser only, and off at first. */

import type { Session } from '../live/session.svelte';
import { Failure } from '../rtc/failure';
import { Beats, level } from './beats';
import { turn } from './targets';

export const REACTIONS = ['off', 'strength', 'mix', 'beat'] as const;
export type Reaction = (typeof REACTIONS)[number];

const TICK_MS = 50;
const FALL = 0.85; // of the level that stays after a tick without sound

export class Sound {
  reaction = $state<Reaction>('off');
  failure = $state.raw<Failure | null>(null);
  /** 0 to 1. */
  level = $state(0);

  #close: () => void = () => {};

  constructor(readonly session: Session) {}

  async react(reaction: Reaction): Promise<void> {
    this.close();
    this.reaction = reaction;
    if (reaction === 'off') return;
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
      if (this.reaction !== reaction) for (const track of stream.getTracks()) track.stop();
      else this.#listen(stream);
    } catch (error) {
      this.reaction = 'off';
      this.failure = Failure.fromCamera(error);
    }
  }

  close(): void {
    this.#close();
    this.#close = () => {};
    this.reaction = 'off';
    this.failure = null;
    this.level = 0;
  }

  #listen(stream: MediaStream): void {
    const context = new AudioContext();
    const analyser = context.createAnalyser();
    analyser.fftSize = 1024;
    context.createMediaStreamSource(stream).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    const beats = new Beats();
    const timer = setInterval(() => {
      analyser.getFloatTimeDomainData(samples);
      const now = level(samples);
      this.level = Math.max(now, this.level * FALL);
      if (this.session.state !== 'live') return;
      if (this.reaction === 'beat') {
        if (beats.hear(now, performance.now() / 1000)) this.session.step(1);
      } else if (this.reaction === 'strength') turn(this.session, 'strength', this.level);
      else if (this.reaction === 'mix') turn(this.session, 'mix', this.level);
    }, TICK_MS);
    this.#close = () => {
      clearInterval(timer);
      for (const track of stream.getTracks()) track.stop();
      void context.close();
    };
  }
}
