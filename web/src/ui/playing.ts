import type { Attachment } from 'svelte/attachments';

/**
 * Lets a video play a stream. As an attribute `srcObject` would be set again with every change of
 * its neighbours, and each time the video begins anew, with a black picture.
 */
export const playing =
  (stream: MediaStream | null): Attachment<HTMLVideoElement> =>
  (video) => {
    video.srcObject = stream;
  };
