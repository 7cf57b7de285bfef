/** Keeps the screen on while `on`; a page that was hidden asks again. For `$effect`. */
export function stayAwake(on: boolean): (() => void) | undefined {
  if (!on || !('wakeLock' in navigator)) return;
  let lock: WakeLockSentinel | null = null;
  let over = false;
  const ask = async () => {
    if (document.visibilityState !== 'visible') return;
    lock = await navigator.wakeLock.request('screen').catch(() => null);
    if (over) void lock?.release();
  };
  void ask();
  document.addEventListener('visibilitychange', ask);
  return () => {
    over = true;
    document.removeEventListener('visibilitychange', ask);
    void lock?.release();
  };
}
