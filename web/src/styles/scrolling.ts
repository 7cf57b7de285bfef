/** A row that scrolls by wheel and by dragging with the mouse; touch does so by itself. */

const CLICK_PX = 6; // moved less, it is a click

export function scrolling(row: HTMLElement): () => void {
  let from: { x: number; left: number } | null = null;
  let dragged = false;
  const stop = new AbortController();
  const { signal } = stop;
  row.addEventListener(
    'wheel',
    (event) => {
      if (Math.abs(event.deltaX) >= Math.abs(event.deltaY)) return; // it does so already
      const line_px = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 40 : 1;
      row.scrollBy({ left: event.deltaY * line_px });
      event.preventDefault();
    },
    { signal, passive: false },
  );
  row.addEventListener(
    'pointerdown',
    ({ button, pointerType, clientX }) => {
      dragged = false;
      if (button === 0 && pointerType === 'mouse') from = { x: clientX, left: row.scrollLeft };
    },
    { signal },
  );
  addEventListener(
    'pointermove',
    ({ clientX, buttons }) => {
      if (!from || buttons === 0) return;
      const moved = clientX - from.x;
      dragged ||= Math.abs(moved) > CLICK_PX;
      if (dragged) row.scrollLeft = from.left - moved;
    },
    { signal },
  );
  addEventListener('pointerup', () => (from = null), { signal });
  row.addEventListener(
    'click',
    (event) => {
      if (!dragged) return;
      dragged = false;
      event.preventDefault();
      event.stopPropagation();
    },
    { signal, capture: true },
  );
  return () => stop.abort();
}
