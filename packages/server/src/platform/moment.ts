/** A moment as people read it, to the minute: `2013-08-14 07:00 UTC`. */
export const shownMoment = (at: Date): string => `${at.toISOString().slice(0, 16).replace("T", " ")} UTC`;
