/** One WebRTC connection to the server: a picture goes in, the stylized one comes back. */

import { ask, Failure } from './failure';
import {
  type Applied,
  type Change,
  type Refusal,
  readIceServers,
  readMessage,
  type Stats,
} from './protocol';
import { Watchdog } from './watchdog';

const GATHERING_MS = 1000; // host candidates take a few ms; a STUN server that is away must not stall
const FIRST_PICTURE_MS = 15_000;
const DISCONNECTED_MS = 3000; // a Wi-Fi that changes its access point is back by then
const FROZEN_S = 5;

/** What the browser itself sees of the connection. */
export interface Seen {
  shown_fps: number;
  round_trip_ms: number;
  /** Mean time of a frame in the jitter buffer, and in the decoder. */
  buffer_ms: number;
  decode_ms: number;
  packets_lost: number;
  freezes: number;
}

export interface Peer {
  /** The stylized picture, and the sound that belongs to it. */
  readonly output: MediaStream;
  /** Resolves with the reason once the connection is of no more use, `close` being one. */
  readonly lost: Promise<Failure>;
  /**
   * Ask for a change; resolves when the first frame that has it leaves the server.
   * Throws the server's Refusal, or Failure when the connection ends first.
   */
  set(change: Change): Promise<Applied>;
  /** Send other tracks from now on, without a new connection. */
  replace(input: MediaStream): Promise<void>;
  close(): void;
}

export interface Options {
  endpoint: string;
  signal: AbortSignal;
  onstats(stats: Stats): void;
  onseen(seen: Seen): void;
}

/** Connect and wait for the first picture. Throws Failure, or the signal's reason. */
export async function connect(input: MediaStream, options: Options): Promise<Peer> {
  const { endpoint, signal } = options;
  const answered = await ask(endpoint, { method: 'OPTIONS', signal });
  const pc = new RTCPeerConnection({
    iceServers: readIceServers(answered.headers.get('Link')),
    bundlePolicy: 'max-bundle',
  });
  let lose: (failure: Failure) => void = () => {};
  const lost = new Promise<Failure>((resolve) => {
    lose = resolve;
  });
  let location: URL | undefined;
  const close = () => {
    lose(new Failure('lost'));
    pc.close();
    if (location) fetch(location, { method: 'DELETE', keepalive: true }).catch(() => {});
    location = undefined;
  };
  try {
    const control = new Control(pc.createDataChannel('control'), options.onstats, lose);
    const video = pc.addTransceiver('video', { direction: 'sendrecv' });
    const audio = pc.addTransceiver('audio', { direction: 'sendrecv' });
    for (const { receiver } of [video, audio]) receiver.jitterBufferTarget = 0;
    const replace = async (stream: MediaStream) => {
      const [picture = null] = stream.getVideoTracks();
      if (picture) picture.contentHint = 'motion'; // rather fewer details than fewer frames
      await video.sender.replaceTrack(picture);
      await audio.sender.replaceTrack(stream.getAudioTracks()[0] ?? null);
    };
    await replace(input);
    await pc.setLocalDescription();
    await gathered(pc);
    signal.throwIfAborted();
    const response = await ask(endpoint, {
      method: 'POST',
      headers: { 'Content-Type': 'application/sdp' },
      body: pc.localDescription?.sdp ?? '',
      signal,
    });
    location = new URL(response.headers.get('Location') ?? '', response.url);
    watchConnection(pc, lose);
    watchPicture(pc, options.onseen, lose);
    await pc.setRemoteDescription({ type: 'answer', sdp: await response.text() });
    await firstPicture(video.receiver.track, lost, signal);
    const output = new MediaStream([video.receiver.track, audio.receiver.track]);
    return { output, lost, set: (change) => control.set(change, lost), replace, close };
  } catch (error) {
    close();
    throw error;
  }
}

/** The data channel: requests with their answers, and the numbers the server pushes. */
class Control {
  #channel: RTCDataChannel;
  #open: Promise<void>;
  #next = 1;
  #asked = new Map<number, { resolve(applied: Applied): void; reject(refusal: Refusal): void }>();

  constructor(
    channel: RTCDataChannel,
    onstats: (stats: Stats) => void,
    lose: (failure: Failure) => void,
  ) {
    this.#channel = channel;
    this.#open = new Promise((resolve) => channel.addEventListener('open', () => resolve()));
    channel.addEventListener('close', () => lose(new Failure('lost')));
    channel.addEventListener('message', ({ data }) => {
      const message = readMessage(String(data));
      if (message === null) return;
      if ('stats' in message) onstats(message.stats);
      else if ('applied' in message) this.#take(message.id)?.resolve(message.applied);
      else this.#take(message.id)?.reject(message.error);
    });
  }

  async set(change: Change, lost: Promise<Failure>): Promise<Applied> {
    const over = lost.then((failure) => Promise.reject(failure));
    await Promise.race([this.#open, over]);
    const id = this.#next++;
    const applied = new Promise<Applied>((resolve, reject) =>
      this.#asked.set(id, { resolve, reject }),
    );
    this.#channel.send(JSON.stringify({ id, set: change }));
    return Promise.race([applied, over]);
  }

  #take(id: number) {
    const waiting = this.#asked.get(id);
    this.#asked.delete(id);
    return waiting;
  }
}

/** All candidates go into the offer, so that one request is enough. */
function gathered(pc: RTCPeerConnection): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, GATHERING_MS);
    pc.addEventListener('icegatheringstatechange', () => {
      if (pc.iceGatheringState === 'complete') resolve();
    });
  });
}

function firstPicture(
  track: MediaStreamTrack,
  lost: Promise<Failure>,
  signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = () => reject(new Failure('unconnected'));
    track.addEventListener('unmute', () => resolve(), { once: true });
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    setTimeout(fail, FIRST_PICTURE_MS);
    lost.then(fail);
  });
}

function watchConnection(pc: RTCPeerConnection, lose: (failure: Failure) => void): void {
  let timer = 0;
  pc.addEventListener('connectionstatechange', () => {
    clearTimeout(timer);
    if (pc.connectionState === 'failed') lose(new Failure('lost'));
    if (pc.connectionState === 'disconnected')
      timer = window.setTimeout(() => lose(new Failure('lost')), DISCONNECTED_MS);
  });
}

/** Looks once a second whether frames go out and none comes back. */
function watchPicture(
  pc: RTCPeerConnection,
  onseen: (seen: Seen) => void,
  lose: (failure: Failure) => void,
): void {
  const watchdog = new Watchdog(FROZEN_S);
  const timer = setInterval(async () => {
    if (pc.signalingState === 'closed') return clearInterval(timer);
    const { sent, decoded, ...seen } = await look(pc);
    onseen(seen);
    // A hidden page may decode nothing, which is as it should be.
    const expected = document.hidden ? 0 : sent;
    if (watchdog.frozen(expected, decoded, performance.now() / 1000)) lose(new Failure('lost'));
  }, 1000);
}

async function look(pc: RTCPeerConnection) {
  const found = {
    sent: 0,
    decoded: 0,
    shown_fps: 0,
    round_trip_ms: 0,
    buffer_ms: 0,
    decode_ms: 0,
    packets_lost: 0,
    freezes: 0,
  };
  for (const report of (await pc.getStats()).values()) {
    if (report.type === 'outbound-rtp' && report.kind === 'video') {
      found.sent = report.framesEncoded ?? 0;
    } else if (report.type === 'inbound-rtp' && report.kind === 'video') {
      found.decoded = report.framesDecoded ?? 0;
      found.shown_fps = report.framesPerSecond ?? 0;
      found.buffer_ms = mean_ms(report.jitterBufferDelay, report.jitterBufferEmittedCount);
      found.decode_ms = mean_ms(report.totalDecodeTime, report.framesDecoded);
      found.packets_lost = report.packetsLost ?? 0;
      found.freezes = report.freezeCount ?? 0;
    } else if (report.type === 'candidate-pair' && report.nominated) {
      found.round_trip_ms = 1000 * (report.currentRoundTripTime ?? 0);
    }
  }
  return found;
}

const mean_ms = (total_s = 0, count = 0) => (count > 0 ? (1000 * total_s) / count : 0);
