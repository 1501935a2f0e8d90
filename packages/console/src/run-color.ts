/** A run's colour, the same on every screen: of 36 hues and three lightnesses, all legible on light and on dark. */
export function runColor(id: string): string {
  let hash = 2_166_136_261;
  for (let i = 0; i < id.length; i++) hash = Math.imul(hash ^ id.charCodeAt(i), 16_777_619) >>> 0;
  const hue = (hash % 36) * 10;
  const lightness = [0.56, 0.64, 0.72][Math.floor(hash / 36) % 3] ?? 0.6;
  return `oklch(${lightness} 0.16 ${hue})`;
}
