/** The publisher's connection: the camera goes in, the stylized stream comes back. */

import { getIceServers } from './api';
import { Connection, type Seen } from './connection';
import { Failure } from './failure';
import {
  type Applied,
  type Change,
  type Refusal,
  readEnd,
  readMessage,
  type Stats,
} from './protocol';

export interface Peer {
  /** The stylized video, and the sound that belongs to it. */
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

/** Connect and wait for the first frame. Throws Failure, or the signal's reason. */
export async function connect(input: MediaStream, options: Options): Promise<Peer> {
  const { endpoint, signal, onseen, onstats } = options;
  const connection = new Connection(await getIceServers(endpoint, signal));
  const { lost } = connection;
  const close = () => connection.close();
  try {
    const control = new Control(connection, onstats);
    const video = connection.add('video', 'sendrecv');
    const audio = connection.add('audio', 'sendrecv');
    const replace = async (stream: MediaStream) => {
      const [camera = null] = stream.getVideoTracks();
      if (camera) camera.contentHint = 'motion'; // rather fewer details than fewer frames
      await video.sender.replaceTrack(camera);
      await audio.sender.replaceTrack(stream.getAudioTracks()[0] ?? null);
    };
    await replace(input);
    const output = await connection.open(endpoint, signal, onseen);
    return { output, lost, set: (change) => control.set(change), replace, close };
  } catch (error) {
    close();
    throw error;
  }
}

/** The data channel: requests with their answers, and the stats the server pushes. */
class Control {
  #channel: RTCDataChannel;
  #open: Promise<void>;
  #over: Promise<never>;
  #next = 1;
  #asked = new Map<number, { resolve(applied: Applied): void; reject(refusal: Refusal): void }>();

  constructor(connection: Connection, onstats: (stats: Stats) => void) {
    const channel = connection.pc.createDataChannel('control');
    this.#channel = channel;
    this.#open = new Promise((resolve) => channel.addEventListener('open', () => resolve()));
    this.#over = connection.lost.then((failure) => Promise.reject(failure));
    this.#over.catch(() => {}); // whoever asks for a change hears of it
    channel.addEventListener('close', () => connection.lose());
    channel.addEventListener('message', ({ data }) => {
      const message = readMessage(String(data));
      if (message === null) return;
      if ('stats' in message) onstats(message.stats);
      else if ('ended' in message) {
        const { detail, replaced } = readEnd(message.ended);
        connection.lose(new Failure(replaced ? 'replaced' : 'ended', detail));
      } else if ('applied' in message) this.#take(message.id)?.resolve(message.applied);
      else this.#take(message.id)?.reject(message.error);
    });
  }

  async set(change: Change): Promise<Applied> {
    await Promise.race([this.#open, this.#over]);
    const id = this.#next++;
    const applied = new Promise<Applied>((resolve, reject) =>
      this.#asked.set(id, { resolve, reject }),
    );
    this.#channel.send(JSON.stringify({ id, set: change }));
    return Promise.race([applied, this.#over]);
  }

  #take(id: number) {
    const waiting = this.#asked.get(id);
    this.#asked.delete(id);
    return waiting;
  }
}
