/** Whether attention is computed in one piece, without the matrix of all scores. `auto`: on a GPU. */
export const FLASH_ATTENTION = ['auto', 'on', 'off'] as const;
export type FlashAttention = (typeof FLASH_ATTENTION)[number];
