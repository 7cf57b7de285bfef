/** Drag and drop in the gallery: one style onto another, or a picture from outside. */

import type { Attachment } from 'svelte/attachments';

const TYPE = 'application/x-streamer-style';

interface Drops {
  onstyle(name: string, onto: string): void;
  onfile(file: File): void;
}

/** For an element whose `[data-style]` descendants are styles. */
export const droppable =
  ({ onstyle, onfile }: Drops): Attachment<HTMLElement> =>
  (element) => {
    element.addEventListener('dragstart', (event) => {
      event.dataTransfer?.setData(TYPE, styleAt(event) ?? '');
    });
    element.addEventListener('dragover', (event) => {
      const types = event.dataTransfer?.types;
      if (types?.includes('Files') || (types?.includes(TYPE) && styleAt(event)))
        event.preventDefault();
    });
    element.addEventListener('drop', (event) => {
      event.preventDefault();
      const name = event.dataTransfer?.getData(TYPE);
      const onto = styleAt(event);
      const file = event.dataTransfer?.files[0];
      if (name && onto && name !== onto) onstyle(name, onto);
      else if (!name && file) onfile(file);
    });
  };

const styleAt = (event: Event) =>
  event.target instanceof Element
    ? event.target.closest<HTMLElement>('[data-style]')?.dataset.style
    : undefined;
