/** Records what is live, video and sound, until it is stopped or the stream ends. */

import { fileName, save } from '../ui/save';

// The first that the browser can write; players know MP4 best.
const TYPES = [
  'video/mp4;codecs=avc1,mp4a.40.2',
  'video/mp4',
  'video/webm;codecs=vp8,opus',
  'video/webm',
];
const SLICE_MS = 1000; // what is recorded is handed over this often, not kept in the encoder

export class Recorder {
  running = $state(false);
  seconds = $state(0);
  /** Why the last recording failed. */
  failure = $state.raw<string | null>(null);

  #recorders: MediaRecorder[] = [];
  #timer = 0;

  /** Record each stream into its own file, named by its key. */
  start(streams: Record<string, MediaStream>): void {
    if (this.running) return;
    this.failure = null;
    try {
      this.#recorders = Object.entries(streams).map(([name, stream]) => this.#record(name, stream));
    } catch (error) {
      this.failure = error instanceof Error ? error.message : String(error);
      this.stop();
      return;
    }
    const began_ms = performance.now();
    this.running = true;
    this.seconds = 0;
    this.#timer = window.setInterval(() => {
      this.seconds = (performance.now() - began_ms) / 1000;
    }, 250);
  }

  /** Stop, and save what there is. */
  stop(): void {
    clearInterval(this.#timer);
    for (const recorder of this.#recorders) if (recorder.state !== 'inactive') recorder.stop();
    this.#recorders = [];
    this.running = false;
  }

  #record(name: string, stream: MediaStream): MediaRecorder {
    const mimeType = TYPES.find((type) => MediaRecorder.isTypeSupported(type)) ?? '';
    const parts: Blob[] = [];
    const tracks = stream.getTracks().filter(({ readyState }) => readyState === 'live');
    const recorder = new MediaRecorder(new MediaStream(tracks), {
      mimeType,
      videoBitsPerSecond: 8_000_000,
    });
    recorder.ondataavailable = ({ data }) => parts.push(data);
    recorder.onerror = () => this.stop();
    recorder.onstop = () => {
      this.stop(); // the stream may have ended by itself
      const type = recorder.mimeType || 'video/webm';
      const ending = type.startsWith('video/mp4') ? 'mp4' : 'webm';
      const file = new Blob(parts, { type });
      if (file.size > 0) save(file, fileName(name, ending));
    };
    recorder.start(SLICE_MS);
    return recorder;
  }
}
