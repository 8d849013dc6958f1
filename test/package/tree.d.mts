export function filesBelow(folder: string): string[]
export function nativeParts(folder: string): string[]
export function sizeBelow(folder: string): number
