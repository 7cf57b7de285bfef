/** Records streams, video and sound, until it is stopped or they end. */

import { fileName } from '../ui/save';

// The first that the browser can write. H.264 with AAC plays everywhere; a bare `video/mp4` may
// be VP9 inside, which phones and Apple's players refuse, so WebM, named so, comes before it.
export const TYPES = [
  'video/mp4;codecs=avc1.42E01F,mp4a.40.2',
  'video/mp4;codecs=avc1,mp4a.40.2',
  'video/mp4;codecs=avc1.42E01F,opus',
  'video/webm;codecs=vp9,opus',
  'video/webm;codecs=vp8,opus',
  'video/webm',
  'video/mp4',
];
const SLICE_MS = 1000; // what is recorded is handed over this often, not kept in the encoder

export class Recorder {
  running = $state(false);
  seconds = $state(0);
  /** Why the last recording failed. */
  failure = $state.raw<string | null>(null);

  #recorders: MediaRecorder[] = [];
  #timer = 0;

  /** `onfile` gets what was recorded of each stream, with a name for it. */
  constructor(readonly onfile: (file: Blob, name: string) => void) {}

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

  /** Stop, and hand over what there is. */
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
      videoBitsPerSecond: 16_000_000, // as what it is sent at most
    });
    recorder.ondataavailable = ({ data }) => parts.push(data);
    recorder.onerror = () => this.stop();
    recorder.onstop = () => {
      this.stop(); // the stream may have ended by itself
      const type = recorder.mimeType || 'video/webm';
      const ending = type.startsWith('video/mp4') ? 'mp4' : 'webm';
      const file = new Blob(parts, { type });
      if (file.size > 0) this.onfile(file, fileName(name, ending));
    };
    recorder.start(SLICE_MS);
    return recorder;
  }
}
