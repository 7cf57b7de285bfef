/** A WebRTC connection to the server, from its offer to its end. */

import { goesOn, hangUp, sendOffer } from './api';
import { Failure } from './failure';
import { gathered } from './gathering';
import { Watchdog } from './watchdog';

const FIRST_FRAME_MS = 15_000;
const DISCONNECTED_MS = 3000; // a Wi-Fi that changes its access point is back by then
const FROZEN_S = 5;
const LOOK_MS = 500;

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

export class Connection {
  readonly pc: RTCPeerConnection;
  /** Resolves once the connection is of no more use, `close` being one reason. */
  readonly lost: Promise<Failure>;
  #lose: (failure: Failure) => void = () => {};
  #publishing = false;
  #resource: URL | null = null;

  constructor(iceServers: RTCIceServer[]) {
    this.lost = new Promise((resolve) => {
      this.#lose = resolve;
    });
    this.pc = new RTCPeerConnection({ iceServers, bundlePolicy: 'max-bundle' });
  }

  add(kind: 'video' | 'audio', direction: 'sendrecv' | 'recvonly'): RTCRtpTransceiver {
    const transceiver = this.pc.addTransceiver(kind, { direction });
    transceiver.receiver.jitterBufferTarget = 0;
    this.#publishing ||= direction === 'sendrecv';
    return transceiver;
  }

  /** Offer what was added and wait for the first frame. Throws Failure, or the signal's reason. */
  async open(
    endpoint: string,
    signal: AbortSignal,
    onseen: (seen: Seen) => void = () => {},
  ): Promise<MediaStream> {
    const { pc } = this;
    await pc.setLocalDescription();
    await gathered(pc);
    signal.throwIfAborted();
    const { answer, resource } = await sendOffer(endpoint, pc.localDescription?.sdp ?? '', signal);
    this.#resource = resource;
    this.#watchState();
    this.#watchFrames(onseen);
    await pc.setRemoteDescription({ type: 'answer', sdp: answer });
    const tracks = pc.getReceivers().map(({ track }) => track);
    const video = tracks.find(({ kind }) => kind === 'video');
    if (video) await this.#firstFrame(video, signal);
    return new MediaStream(tracks);
  }

  /** The first reason counts. */
  lose(failure = new Failure('lost')): void {
    this.#lose(failure);
  }

  close(): void {
    this.lose();
    this.pc.close();
    if (this.#resource) hangUp(this.#resource);
    this.#resource = null;
  }

  #firstFrame(track: MediaStreamTrack, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const fail = () => reject(new Failure('unconnected'));
      track.addEventListener('unmute', () => resolve(), { once: true });
      signal.addEventListener('abort', () => reject(signal.reason), { once: true });
      setTimeout(fail, FIRST_FRAME_MS);
      this.lost.then(fail);
    });
  }

  #watchState(): void {
    const { pc } = this;
    let timer = 0;
    pc.addEventListener('connectionstatechange', () => {
      clearTimeout(timer);
      if (pc.connectionState === 'failed') this.lose();
      if (pc.connectionState === 'disconnected')
        timer = window.setTimeout(() => this.lose(), DISCONNECTED_MS);
    });
  }

  /**
   * Checks that frames come in while they are due. When they stand still, the server may know why:
   * one of its processes died, which ICE would take half a minute to notice.
   */
  #watchFrames(onseen: (seen: Seen) => void): void {
    const { pc } = this;
    const watchdog = new Watchdog(FROZEN_S);
    let [looks, before] = [0, -1];
    const timer = setInterval(async () => {
      if (pc.signalingState === 'closed') return clearInterval(timer);
      const { sent, decoded, ...seen } = await readStats(pc);
      if (looks++ % 2 === 0) onseen(seen);
      const now = performance.now() / 1000;
      // A viewer expects frames all the time, and a hidden page may decode none.
      const due = this.#publishing ? sent : now;
      if (watchdog.frozen(document.hidden ? 0 : due, decoded, now)) this.lose();
      const still = decoded === before && !document.hidden;
      before = decoded;
      if (still && this.#resource && !(await goesOn(this.#resource))) this.lose();
    }, LOOK_MS);
  }
}

async function readStats(pc: RTCPeerConnection) {
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
