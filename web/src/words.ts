/** Every word the page says. */

import type { Failure, Reason } from './failure';
import type { Drop, Stage } from './protocol';
import type { State } from './session.svelte';

export interface Notice {
  title: string;
  /** What to do about it. */
  remedy: string;
}

const NOTICES: Record<Reason, Notice> = {
  insecure: {
    title: 'The browser gives no camera to this page',
    remedy:
      'Browsers allow cameras only on https pages and on this same machine. Open the page at http://127.0.0.1 on the machine streamer runs on, or start streamer with https. The sample picture works here.',
  },
  denied: {
    title: 'The camera was not allowed',
    remedy:
      'Allow it with the camera sign in the address bar, and in the privacy settings of your system; then try again.',
  },
  no_camera: {
    title: 'No camera was found',
    remedy: 'Plug one in and try again, or use the sample picture.',
  },
  camera_busy: {
    title: 'The camera is in use',
    remedy: 'Close the other program or tab that shows it, then try again.',
  },
  camera_lost: {
    title: 'The camera went away',
    remedy: 'Plug it in again or choose another one, then try again.',
  },
  unauthorized: {
    title: 'This server wants its token',
    remedy: 'Open the address that streamer printed when it started; it ends in ?token=…',
  },
  server_full: {
    title: 'The server is full',
    remedy: 'As many people are connected as it was told to take. Try again when one has left.',
  },
  not_ready: {
    title: 'The server is warming up',
    remedy: 'Its workers are loading the styles. This goes on by itself in a few seconds.',
  },
  unreachable: {
    title: 'The server does not answer',
    remedy: 'Is streamer still running? The page goes on as soon as it is back.',
  },
  lost: {
    title: 'The connection was lost',
    remedy: 'Connecting again.',
  },
  unconnected: {
    title: 'The server answered, but no picture came through',
    remedy: 'A firewall may hold back UDP between this browser and the server. Trying again.',
  },
  refused: {
    title: 'That did not work',
    remedy: 'The reason is below; try again.',
  },
};

export function notice({ reason, detail }: Failure): Notice & { detail: string } {
  return { ...NOTICES[reason], detail: reason === 'refused' ? detail : '' };
}

export const STATES: Record<State, string> = {
  idle: 'Ready',
  connecting: 'Connecting',
  live: 'Live',
  failed: 'Stopped',
};

export const STAGE_NAMES: Record<Stage, string> = {
  wait: 'Wait',
  transfer: 'Transfer',
  inference: 'Paint',
  reorder: 'Reorder',
  pace: 'Pace',
  encode: 'Encode',
};

export const DROP_NAMES: Record<Drop, string> = {
  intake: 'newer came first',
  deadline: 'too old',
  lost: 'worker died',
  late: 'too late',
  skipped: 'given up',
};
