import { beforeEach, expect, test, vi } from 'vitest';
import { type Dependencies, Session } from '../../src/live/session.svelte';
import type { Source, Wanted } from '../../src/live/source';
import { Failure } from '../../src/rtc/failure';
import type { Options, Peer } from '../../src/rtc/peer';
import type { Applied, Catalogue, Change, Stats } from '../../src/rtc/protocol';

const CATALOGUE: Catalogue = {
  default: 'mosaic',
  styles: ['none', 'mosaic', 'ink'].map((name) => ({ name, title: name, model: '' })),
};

class FakePeer implements Peer {
  output = {} as MediaStream;
  changes: Change[] = [];
  answers: ((applied: Applied) => void)[] = [];
  inputs: MediaStream[] = [];
  close = vi.fn(() => this.lose(new Failure('lost')));
  lose!: (failure: Failure) => void;
  lost = new Promise<Failure>((resolve) => {
    this.lose = resolve;
  });

  set(change: Change) {
    this.changes.push(change);
    const answered = new Promise<Applied>((resolve) => this.answers.push(resolve));
    return Promise.race([answered, this.lost.then((failure) => Promise.reject(failure))]);
  }

  async replace(input: MediaStream) {
    this.inputs.push(input);
  }
}

class FakeSource implements Source {
  stream = {} as MediaStream;
  close = vi.fn();
  unplug!: () => void;
  silence!: () => void;
  silenced = new Promise<void>((resolve) => {
    this.silence = resolve;
  });
  ended = new Promise<Failure>((resolve) => {
    this.unplug = () => resolve(new Failure('camera_lost'));
  });
}

/** Connecting works unless `failures` says otherwise, one entry a try. */
class FakeDependencies implements Dependencies {
  failures: Failure[] = [];
  peers: FakePeer[] = [];
  sources: FakeSource[] = [];
  slept_s: number[] = [];
  options: Options[] = [];

  open = vi.fn(async (_: Wanted) => {
    const source = new FakeSource();
    this.sources.push(source);
    return source;
  });

  async connect(_: MediaStream, options: Options) {
    this.options.push(options);
    const failure = this.failures.shift();
    if (failure) throw failure;
    const peer = new FakePeer();
    this.peers.push(peer);
    return peer;
  }

  catalogue = vi.fn(async () => CATALOGUE);

  async sleep(seconds: number, signal: AbortSignal) {
    signal.throwIfAborted();
    this.slept_s.push(seconds);
  }

  get peer(): FakePeer {
    const peer = this.peers.at(-1);
    if (!peer) throw new Error('not connected');
    return peer;
  }
}

const settled = () => new Promise((resolve) => setTimeout(resolve));

let fake: FakeDependencies;
let session: Session;
beforeEach(async () => {
  fake = new FakeDependencies();
  session = new Session({}, fake);
  await session.load(new AbortController().signal);
});

async function start() {
  void session.start();
  await settled();
}

test('start opens the source, connects, and sends the look', async () => {
  const started = session.start();
  expect(session.state).toBe('connecting');
  await settled();
  expect(session.state).toBe('live');
  expect(session.output).toBe(fake.peer.output);
  expect(fake.peer.changes).toEqual([{ style: 'mosaic', strength: 1, preserve_color: false }]);
  session.stop();
  await started;
});

test('stop closes everything and forgets the numbers', async () => {
  await start();
  fake.options[0]?.onstats({} as never);
  session.stop();
  await settled();
  expect(session).toMatchObject({ state: 'idle', input: null, output: null, stats: null });
  expect(fake.peer.close).toHaveBeenCalled();
  expect(fake.sources[0]?.close).toHaveBeenCalled();
  expect(fake.peers).toHaveLength(1);
});

test('a lost connection is made again, and gets the look back', async () => {
  await start();
  session.set({ style: 'ink' });
  fake.failures = [new Failure('unreachable'), new Failure('server_full', '', 3)];
  fake.peer.lose(new Failure('lost'));
  await settled();
  expect(session.state).toBe('live');
  expect(session.failure).toBeNull();
  expect(fake.peers).toHaveLength(2);
  expect(fake.slept_s).toEqual([0.5, 1, 3]);
  expect(fake.peer.changes[0]).toMatchObject({ style: 'ink' });
  expect(fake.open).toHaveBeenCalledTimes(1);
});

test.each(['server_full', 'unauthorized', 'refused'] as const)('%s ends it', async (reason) => {
  fake.failures = [new Failure(reason)];
  await start();
  expect(session).toMatchObject({ state: 'failed', failure: { reason }, input: null });
  expect(fake.sources[0]?.close).toHaveBeenCalled();
});

test('a server that warms up is asked until it is ready', async () => {
  fake.failures = Array.from({ length: 7 }, () => new Failure('not_ready'));
  await start();
  expect(session.state).toBe('live');
  expect(fake.slept_s).toEqual([0.5, 1, 2, 4, 8, 8, 8]);
});

test('a camera that is not allowed, or goes away, ends it', async () => {
  fake.open.mockRejectedValueOnce(new Failure('denied'));
  await start();
  expect(session).toMatchObject({ state: 'failed', failure: { reason: 'denied' } });
  await start();
  fake.sources[0]?.unplug();
  await settled();
  expect(session).toMatchObject({ state: 'failed', failure: { reason: 'camera_lost' } });
  expect(fake.peer.close).toHaveBeenCalled();
});

test('a camera that opens after stop is closed at once', async () => {
  let open = (_: FakeSource) => {};
  fake.open.mockReturnValueOnce(
    new Promise((resolve) => {
      open = resolve;
    }),
  );
  void session.start();
  await settled();
  session.stop();
  const late = new FakeSource();
  open(late);
  await settled();
  expect(late.close).toHaveBeenCalled();
  expect(session.state).toBe('idle');
  expect(fake.peers).toEqual([]);
});

test('another camera goes over the same connection', async () => {
  await start();
  await session.choose({ height_px: 720 });
  expect(fake.peers).toHaveLength(1);
  expect(fake.sources[0]?.close).toHaveBeenCalled();
  expect(fake.peer.inputs.at(-1)).toBe(fake.sources[1]?.stream);
  expect(session.state).toBe('live');
});

test('a dragged slider sends the newest value once the last one arrived', async () => {
  await start();
  fake.peer.answers.shift()?.({ seq: 1, pts: 1 });
  await settled();
  for (const strength of [0.9, 0.6, 0.3]) session.set({ strength });
  session.set({ style: 'ink' });
  expect(fake.peer.changes.slice(1)).toEqual([{ strength: 0.9, transition_s: 0 }]);
  fake.peer.answers.shift()?.({ seq: 9, pts: 9 });
  await settled();
  expect(session.applied).toEqual({ seq: 9, pts: 9 });
  expect(fake.peer.changes.slice(2)).toEqual([{ strength: 0.3, style: 'ink', transition_s: 0.5 }]);
});

test('a refused change is shown, and the next one is still sent', async () => {
  await start();
  fake.peer.set = () => Promise.reject({ code: 'unknown_style', message: 'no such style' });
  fake.peer.answers.shift()?.({ seq: 1, pts: 1 });
  session.set({ style: 'gone' });
  await settled();
  expect(session.refused).toBe('no such style');
  fake.peer.set = async () => ({ seq: 2, pts: 2 });
  session.set({ style: 'ink' });
  await settled();
  expect(session).toMatchObject({ refused: null, applied: { seq: 2 } });
});

test('styles are picked by place and stepped through in a circle', () => {
  session.pick(2);
  expect(session.look.style).toBe('ink');
  session.step(1);
  expect(session.look.style).toBe('none');
  session.step(-1);
  expect(session.look.style).toBe('ink');
  session.pick(9);
  expect(session.look.style).toBe('ink');
});

test('an unknown style from the URL gives way to the default, a server away is asked again', async () => {
  fake.catalogue.mockRejectedValueOnce(new Failure('unreachable'));
  session = new Session({ look: { style: 'gone' } }, fake);
  const loading = session.load(new AbortController().signal);
  await Promise.resolve();
  await vi.waitFor(() => expect(session.failure).toMatchObject({ reason: 'unreachable' }));
  await loading;
  expect(session.failure).toBeNull();
  expect(session.look.style).toBe('mosaic');
});

test('styles are blended, and stepping goes on from the newest of them', async () => {
  await start();
  session.blend('ink');
  expect(session.look.style).toEqual({ mosaic: 0.5, ink: 0.5 });
  session.step(-1);
  expect(session.look.style).toBe('mosaic');
});

test('a style dropped onto another is blended with it, whatever was chosen before', () => {
  session.blend('ink', 'none');
  expect(session.look.style).toEqual({ none: 0.5, ink: 0.5 });
  session.blend('ink', 'none');
  expect(session.look.style).toEqual({ none: 0.5, ink: 0.5 });
});

test('what was saved is taken up, and start may choose the input', async () => {
  session = new Session({ wanted: { height_px: 720 }, look: { strength: 0.5 } }, fake);
  void session.start('sample');
  await settled();
  expect(fake.open).toHaveBeenCalledWith(
    expect.objectContaining({ kind: 'sample', height_px: 720 }),
  );
  expect(fake.peer.changes[0]).toMatchObject({ strength: 0.5 });
});

test('a blend from the URL is kept when the server has all of it', async () => {
  session = new Session({ look: { style: { mosaic: 0.5, ink: 0.5 } } }, fake);
  await session.load(new AbortController().signal);
  expect(session.look.style).toEqual({ mosaic: 0.5, ink: 0.5 });
  session.set({ style: { mosaic: 0.5, gone: 0.5 } });
  await session.load(new AbortController().signal);
  expect(session.look.style).toBe('mosaic');
});

test('a camera that comes back starts it again, other failures do not pass like that', async () => {
  await start();
  fake.sources[0]?.unplug();
  await settled();
  expect(session.state).toBe('failed');
  session.retry();
  await settled();
  expect(session.state).toBe('live');
  session.stop();
  session.retry();
  await settled();
  expect(session.state).toBe('idle');
});

test('the age of what is shown is the median between two reports', async () => {
  await start();
  const stats = { in_fps: 30, out_fps: 30, capture_time: { rtp: 0, captured_ms: 1000 } } as Stats;
  fake.options[0]?.onstats(stats);
  expect(session.age_ms).toBeNull();
  for (const at of [1080, 1090, 1300]) session.showed(0, at);
  fake.options[0]?.onstats(stats);
  expect(session.age_ms).toBe(90);
  expect(session.history.map(({ latency_ms }) => latency_ms)).toEqual([0, 90]);
});

test('a camera that gives no picture is opened anew, on the same connection', async () => {
  await start();
  fake.sources[0]?.silence();
  await settled();
  await settled();
  expect(fake.sources).toHaveLength(2);
  expect(fake.peers).toHaveLength(1);
  expect(fake.peer.inputs.at(-1)).toBe(session.input);
  expect(session.state).toBe('live');
});

test('what was live a moment ago waits for its place on a full server', async () => {
  fake.failures.push(new Failure('server_full'));
  void session.start('camera', true);
  await settled();
  await settled();
  expect(session.state).toBe('live');
});

test('a camera that another app has is asked for again', async () => {
  fake.open.mockRejectedValueOnce(new Failure('camera_busy'));
  await session.start();
  expect(session.state).toBe('failed');
  session.retry();
  await settled();
  expect(session.state).toBe('live');
});

test('the server says why it ended the stream, and is asked for another', async () => {
  await start();
  fake.failures.push(new Failure('unreachable'));
  const said: (string | undefined)[] = [];
  fake.sleep = async () => void said.push(session.failure?.detail);
  fake.peer.lose(new Failure('ended', 'the server is shutting down'));
  await settled();
  expect(said[0]).toBe('the server is shutting down');
  expect(session.state).toBe('live');
});

test('the last frame can be kept before its connection ends', async () => {
  const order: string[] = [];
  session.onleaving = () => order.push('left');
  await start();
  fake.peer.close.mockImplementation(() => order.push('closed') as never);
  fake.peer.lose(new Failure('lost'));
  await settled();
  expect(order.slice(0, 2)).toEqual(['left', 'closed']);
});

test("a style of one's own gets another title, and one that is gone is not used", async () => {
  session.relearn('ink', 'India ink');
  expect(session.styles.at(-1)?.title).toBe('India ink');
  session.set({ style: 'ink' });
  session.relearn('ink', null);
  expect(session.styles.map(({ name }) => name)).toEqual(['none', 'mosaic']);
  expect(session.look.style).toBe('mosaic');
});

test('keys go by the order in which styles are shown', () => {
  session.arrange = (styles) => [...styles].reverse();
  session.pick(0);
  expect(session.look.style).toBe('ink');
  session.step(1);
  expect(session.look.style).toBe('mosaic');
});
