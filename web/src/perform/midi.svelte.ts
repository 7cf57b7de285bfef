/** Knobs and keys of MIDI controllers, learnt one by one and remembered. */

import { KNOBS, type Knob, PADS, type Pad } from './targets';

export interface Moved {
  /** Which knob or key of which channel: `cc:0:21`, `note:9:36`. */
  control: string;
  /** 0 to 1; of a key its velocity, 0 when it is let go. */
  value: number;
}

/** A MIDI message; null for those that are no knob and no key. */
export function read(data: ArrayLike<number>): Moved | null {
  const [status = 0, number = 0, value = 0] = Array.from(data);
  const channel = status & 0x0f;
  const kind = { 128: 'note', 144: 'note', 176: 'cc' }[status & 0xf0];
  if (kind === undefined) return null;
  const off = (status & 0xf0) === 0x80;
  return { control: `${kind}:${channel}:${number}`, value: off ? 0 : value / 127 };
}

export class Midi {
  on = $state(false);
  refused = $state(false);
  /** What the next control that moves will do. */
  learning = $state<Knob | Pad | null>(null);
  /** By control. */
  learnt = $state.raw<Record<string, string>>({});

  constructor(
    saved: Partial<Record<string, string>>,
    readonly save: (learnt: Record<string, string>) => void,
    readonly act: { turn(knob: Knob, value: number): void; press(pad: Pad): void },
  ) {
    this.learnt = { ...saved } as Record<string, string>;
  }

  async listen(): Promise<void> {
    try {
      const access = await navigator.requestMIDIAccess();
      const plug = () => {
        for (const input of access.inputs.values())
          input.onmidimessage = ({ data }) => data && this.take(data);
      };
      access.onstatechange = plug;
      plug();
      this.on = true;
    } catch {
      this.refused = true;
    }
  }

  /** Learn from a message, or do what was learnt. */
  take(data: ArrayLike<number>): void {
    const moved = read(data);
    if (!moved) return;
    if (this.learning) {
      if (moved.value === 0) return; // a key that is let go
      const others = Object.entries(this.learnt).filter(([, what]) => what !== this.learning);
      this.learnt = { ...Object.fromEntries(others), [moved.control]: this.learning };
      this.learning = null;
      this.save(this.learnt);
      return;
    }
    const what = this.learnt[moved.control];
    const knob = KNOBS.find((one) => one === what);
    const pad = PADS.find((one) => one === what);
    if (knob) this.act.turn(knob, moved.value);
    else if (pad && moved.value > 0) this.act.press(pad);
  }

  controlOf(what: Knob | Pad): string {
    return Object.entries(this.learnt).find(([, other]) => other === what)?.[0] ?? '';
  }
}
