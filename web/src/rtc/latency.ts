/** How old a frame is when it is seen, from the RTP time it carries. */

/** When, on this browser's clock, the camera saw the frame with this RTP time. */
export interface CaptureTime {
  rtp: number;
  /** Unix milliseconds, from the sender reports of this browser. */
  captured_ms: number;
}

const TICKS_PER_MS = 90; // RFC 3551: video counts 90 kHz
const MOST_MS = 10_000; // beyond that the clocks do not belong together

/** Milliseconds from camera to screen; null when the capture time does not fit. */
export function age_ms(captured: CaptureTime, rtp: number, shown_ms: number): number | null {
  const ticks = (rtp - captured.rtp) | 0; // RTP times wrap at 32 bits
  const age = shown_ms - (captured.captured_ms + ticks / TICKS_PER_MS);
  return age >= 0 && age < MOST_MS ? age : null;
}

export function median(values: readonly number[]): number | null {
  if (values.length === 0) return null;
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? null;
}

/** Calls `shown` for every frame of the video, with its RTP time and when it is seen (Unix ms). */
export function onframe(
  video: HTMLVideoElement,
  shown: (rtp: number, at_ms: number) => void,
): () => void {
  let handle = 0;
  const next: VideoFrameRequestCallback = (_, { rtpTimestamp, expectedDisplayTime }) => {
    if (rtpTimestamp !== undefined)
      shown(rtpTimestamp, performance.timeOrigin + expectedDisplayTime);
    handle = video.requestVideoFrameCallback(next);
  };
  if ('requestVideoFrameCallback' in video) handle = video.requestVideoFrameCallback(next);
  return () => video.cancelVideoFrameCallback?.(handle);
}
