/** A worker that does nothing but tick: timers of a hidden page run once a second, these do not. */
addEventListener('message', ({ data: interval_ms }: MessageEvent<number>) => {
  setInterval(() => postMessage(null), interval_ms);
});
