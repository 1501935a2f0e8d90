export type Json = string | number | boolean | null | Json[] | { [key: string]: Json };

/** In the text of JSON: PostgreSQL's knows no zero characters and no halves of characters. */
export const unkept = /\\u(0000|d[89a-f])/i;
