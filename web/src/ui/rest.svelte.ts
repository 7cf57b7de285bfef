/** Whether everybody rests: no pointer, no key and no touch for a while, and no focus in sight. */

const REST_MS = 3000;

export class Rest {
  quiet = $state(false);

  #still = false;
  #timer = 0;

  constructor() {
    for (const kind of ['pointermove', 'pointerdown', 'keydown', 'wheel', 'focusin'] as const)
      addEventListener(kind, (event) => this.#wake(event), {
        capture: true,
        passive: kind !== 'pointerdown',
      });
  }

  /** Only then does the page go quiet. */
  set still(still: boolean) {
    this.#still = still;
    this.#again();
  }

  #wake(event: Event): void {
    // The first touch only brings the controls back: nobody presses what is not to be seen.
    if (this.quiet && event instanceof PointerEvent && event.pointerType === 'touch')
      addEventListener('click', swallow, { capture: true, once: true });
    this.#again();
  }

  #again(): void {
    clearTimeout(this.#timer);
    this.quiet = false;
    if (this.#still) this.#timer = window.setTimeout(() => this.#sleep(), REST_MS);
  }

  #sleep(): void {
    const focus = document.querySelector('.float :focus-visible');
    if (focus) this.#again();
    else this.quiet = true;
  }
}

function swallow(event: Event): void {
  event.preventDefault();
  event.stopPropagation();
}
