/** The live session, the only state of a stream: what is wanted, and what is going on. */

import { getCatalogue, whip } from '../rtc/api';
import type { Seen } from '../rtc/connection';
import { Failure } from '../rtc/failure';
import { age_ms, median } from '../rtc/latency';
import type { Options, Peer } from '../rtc/peer';
import { connect } from '../rtc/peer';
import type {
  Applied,
  Catalogue,
  Change,
  Look,
  Refusal,
  State,
  Stats,
  StyleInfo,
} from '../rtc/protocol';
import { backOff_s, type Sleep, sleep } from '../rtc/retry';
import { shares, toggle } from '../styles/blend';
import { remember, type Sample } from './history';
import type { Source, Wanted } from './source';
import { open } from './source';

const ENDPOINT = whip('page');
const MOST_AGES = 240; // between two reports of the server

/** What the session asks of the browser and the server; tests bring their own. */
export interface Dependencies {
  open(wanted: Wanted): Promise<Source>;
  connect(input: MediaStream, options: Options): Promise<Peer>;
  catalogue(): Promise<Catalogue>;
  sleep: Sleep;
}

export class Session {
  state = $state<State>('idle');
  /** Why it failed; while connecting, why it has to be done again. */
  failure = $state.raw<Failure | null>(null);
  input = $state.raw<MediaStream | null>(null);
  output = $state.raw<MediaStream | null>(null);
  catalogue = $state.raw<Catalogue | null>(null);
  stats = $state.raw<Stats | null>(null);
  seen = $state.raw<Seen | null>(null);
  /** From camera to screen, the median of the last second; null: not known. */
  age_ms = $state.raw<number | null>(null);
  history = $state.raw<Sample[]>([]);
  /** The last change that arrived, or what the server said to it. */
  applied = $state.raw<Applied | null>(null);
  refused = $state.raw<string | null>(null);

  readonly wanted: Readonly<Wanted> = $state({
    kind: 'camera',
    deviceId: '',
    facing: '',
    height_px: 540,
    microphoneId: null,
  });
  readonly look: Readonly<Look> = $state({
    style: '',
    strength: 1,
    preserve_color: false,
    smooth: null,
    tone: null,
    brush: null,
  });
  /** Of the cross-fade from one style to the next. */
  transition_s = $state(0.5);
  /** The order in which styles are stepped through and numbered. */
  arrange: (styles: StyleInfo[]) => StyleInfo[] = (styles) => styles;
  /** Called while the last frame can still be seen, before its connection ends. */
  onleaving: () => void = () => {};

  #run: AbortController | null = null;
  #opening: Promise<void> = Promise.resolve();
  #source: Source | null = null;
  #peer: Peer | null = null;
  #change: Change | null = null;
  #changing = false;
  #ages_ms: number[] = [];
  #wake: () => void = () => {};

  constructor(
    saved: { wanted?: Partial<Wanted>; look?: Partial<Look> } = {},
    readonly dependencies: Dependencies = DEPENDENCIES,
  ) {
    Object.assign(this.wanted, saved.wanted);
    Object.assign(this.look, saved.look);
  }

  get styles(): StyleInfo[] {
    return this.arrange(this.catalogue?.styles ?? []);
  }

  /** Learn the styles there are; keeps asking while the server is away. */
  async load(signal: AbortSignal): Promise<void> {
    for (let tries = 0; !signal.aborted; tries++) {
      try {
        this.catalogue = await this.dependencies.catalogue();
        if (this.state === 'idle') this.failure = null;
        const names = new Set(this.catalogue.styles.map(({ name }) => name));
        const wanted = Object.keys(shares(this.look.style));
        if (wanted.length === 0 || !wanted.every((name) => names.has(name)))
          this.set({ style: this.catalogue.default });
        return;
      } catch (error) {
        const failure = Failure.from(error);
        if (this.state === 'idle') this.failure = failure;
        if (!failure.passes(false)) return;
        await this.dependencies.sleep(backOff_s(tries), signal).catch(() => {});
      }
    }
  }

  /** Add a style to the catalogue. */
  learn(style: StyleInfo): void {
    const known = this.catalogue;
    if (known) this.catalogue = { ...known, styles: [...known.styles, style] };
  }

  /**
   * Open the source and keep it connected until `stop`, or until something needs a person.
   * `again`: it was live a moment ago, so a full server may only not know yet that we left.
   */
  async start(kind: Wanted['kind'] = this.wanted.kind, again = false): Promise<void> {
    this.stop();
    Object.assign(this.wanted, { kind });
    const run = new AbortController();
    this.#run = run;
    this.state = 'connecting';
    try {
      await this.#reopen();
      run.signal.throwIfAborted();
      await this.#keepConnected(run.signal, again);
    } catch (error) {
      if (this.#run === run) this.#end('failed', Failure.from(error));
    }
  }

  stop(): void {
    this.#end('idle', null);
  }

  /** Take another camera, size or sound; without a new connection when there is one. */
  async choose(wanted: Partial<Wanted>): Promise<void> {
    Object.assign(this.wanted, wanted);
    const run = this.#run;
    if (run === null) return;
    try {
      await this.#reopen();
      if (this.input) await this.#peer?.replace(this.input);
    } catch (error) {
      if (this.#run === run) this.#end('failed', Failure.from(error));
    }
  }

  /**
   * What stopped it may have passed by itself: a camera plugged in again, allowed, or given back
   * by another app; a network or a machine that woke up.
   */
  retry(): void {
    if (this.state === 'failed' && this.failure?.fromCamera) void this.start();
    else this.#wake();
  }

  /** Change the look: now when live, else with the next connection. */
  set(look: Partial<Look>, transition_s = 'style' in look ? this.transition_s : 0): void {
    Object.assign(this.look, look);
    if (this.#peer) {
      this.#change = { ...this.#change, ...look, transition_s };
      void this.#send();
    }
  }

  /** How long the next change of style cross-fades. */
  setTransition(seconds: number): void {
    this.transition_s = seconds;
  }

  /** Choose any other style. */
  random(): void {
    const now = shares(this.look.style);
    const others = this.styles.filter(({ name }) => name !== 'none' && !(name in now));
    const style = others[Math.floor(Math.random() * others.length)];
    if (style) this.set({ style: style.name });
  }

  /** A style has another title from now on, or is gone (null). */
  relearn(name: string, title: string | null): void {
    const known = this.catalogue;
    if (!known) return;
    const styles = known.styles
      .filter((style) => style.name !== name || title !== null)
      .map((style) => (style.name === name && title !== null ? { ...style, title } : style));
    this.catalogue = { ...known, styles };
    if (title === null && name in shares(this.look.style)) this.set({ style: known.default });
  }

  /** Choose the style at this place in the list. */
  pick(place: number): void {
    const style = this.styles[place];
    if (style) this.set({ style: style.name });
  }

  /** Add a style to the blend or remove it; with `onto`, blend these two if they are not yet. */
  blend(name: string, onto?: string): void {
    let style = $state.snapshot(this.look.style);
    if (onto !== undefined && !(onto in shares(style))) style = onto;
    if (onto === undefined || !(name in shares(style))) style = toggle(style, name);
    this.set({ style });
  }

  /** A frame is on the screen, with the RTP time it carries. */
  showed(rtp: number, at_ms: number): void {
    const captured = this.stats?.capture_time;
    const age = captured ? age_ms(captured, rtp, at_ms) : null;
    if (age !== null && this.#ages_ms.length < MOST_AGES) this.#ages_ms.push(age);
  }

  /** Choose the next style in the list, or the previous one. */
  step(by: 1 | -1): void {
    const { styles } = this;
    const last = Object.keys(shares(this.look.style)).at(-1);
    const place = styles.findIndex(({ name }) => name === last);
    if (styles.length > 0) this.pick((place + by + styles.length) % styles.length);
  }

  /** One request at a time, so that a dragged slider sends only what the server can follow. */
  async #send(): Promise<void> {
    if (this.#changing) return;
    this.#changing = true;
    while (this.#change && this.#peer) {
      const change = this.#change;
      this.#change = null;
      try {
        this.applied = await this.#peer.set(change);
        this.refused = null;
      } catch (error) {
        // With the next connection the whole look goes out again.
        if (!(error instanceof Failure)) this.refused = (error as Refusal).message;
      }
    }
    this.#changing = false;
  }

  /** The old one is closed first: phones open only one camera at a time. */
  #reopen(): Promise<void> {
    const run = this.#run;
    this.#opening = this.#opening.catch(() => {}).then(() => this.#open(run));
    return this.#opening;
  }

  async #open(run: AbortController | null): Promise<void> {
    this.#source?.close();
    this.#source = null;
    const source = await this.dependencies.open({ ...this.wanted });
    if (this.#run !== run) return source.close();
    this.#source = source;
    this.input = source.stream;
    void source.ended.then((failure) => {
      if (this.#source === source) this.#end('failed', failure);
    });
    void source.silenced.then(() => {
      // Another app took it, or the system did: a new one may be had.
      if (this.#source === source) void this.choose({});
    });
  }

  async #keepConnected(signal: AbortSignal, again: boolean): Promise<never> {
    let wasLive = again;
    let tries = 0;
    while (true) {
      try {
        await this.#connect(signal, () => {
          wasLive = true;
          tries = 0;
        });
      } catch (error) {
        signal.throwIfAborted();
        const failure = Failure.from(error);
        if (!failure.passes(wasLive)) throw failure;
        this.failure = failure;
        this.state = 'connecting';
        await this.#rest(Math.max(backOff_s(tries++), failure.retryAfter_s), signal);
      }
    }
  }

  /** Sleep, unless `retry` is called meanwhile. */
  async #rest(seconds: number, signal: AbortSignal): Promise<void> {
    const nap = new AbortController();
    this.#wake = () => nap.abort();
    const either = AbortSignal.any([signal, nap.signal]);
    await this.dependencies.sleep(seconds, either).catch(() => {});
    this.#wake = () => {};
    signal.throwIfAborted();
  }

  /** One connection, from its offer to its end; throws the reason for that. */
  async #connect(signal: AbortSignal, onlive: () => void): Promise<never> {
    if (this.input === null) throw new Failure('camera_lost');
    const peer = await this.dependencies.connect(this.input, {
      endpoint: ENDPOINT,
      signal,
      onstats: (stats) => this.#report(stats),
      onseen: (seen) => {
        this.seen = seen;
      },
    });
    try {
      signal.throwIfAborted();
      onlive();
      this.#peer = peer;
      this.output = peer.output;
      this.failure = null;
      this.state = 'live';
      await peer.replace(this.input); // it may be another one by now
      const { style, smooth, tone, brush, ...look } = $state.snapshot(this.look);
      this.#change = {
        ...(style !== '' && { style }),
        ...(smooth !== null && { smooth }),
        ...(tone !== null && { tone }),
        ...(brush !== null && { brush }),
        ...look,
      };
      void this.#send();
      throw await peer.lost;
    } finally {
      if (this.#peer === peer) this.onleaving();
      peer.close();
      if (this.#peer === peer) this.#peer = null;
    }
  }

  #report(stats: Stats): void {
    this.stats = stats;
    this.age_ms = median(this.#ages_ms);
    this.#ages_ms = [];
    const { in_fps, out_fps } = stats;
    const latency_ms = this.age_ms ?? stats.latency_ms?.p50 ?? 0;
    this.history = remember(this.history, { in_fps, out_fps, latency_ms });
  }

  #end(state: State, failure: Failure | null): void {
    const [run, source, peer] = [this.#run, this.#source, this.#peer];
    this.#run = this.#source = this.#peer = null;
    this.input = this.output = this.stats = this.seen = this.applied = this.refused = null;
    this.age_ms = null;
    this.history = [];
    this.#ages_ms = [];
    this.state = state;
    this.failure = failure;
    peer?.close();
    source?.close();
    run?.abort();
  }
}

const DEPENDENCIES: Dependencies = { open, connect, catalogue: getCatalogue, sleep };
