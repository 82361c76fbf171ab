// Tries to make figures that cannot be read: text outside the picture, with long names too; variants that only colour tells
// apart; colours too faint on light or dark; PNG without letters, or another on a machine with other fonts.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Resvg } from '@resvg/resvg-js';
import { describe, expect, it } from 'vitest';
import { composeReport } from '../../src/report/compose-report.ts';
import { wrapText } from '../../src/report/drawing/canvas.ts';
import { COLOURS, DARK_COLOURS, lookAt } from '../../src/report/drawing/looks.ts';
import { PngPainter } from '../../src/report/drawing/png.ts';
import { woffToSfnt } from '../../src/report/drawing/woff-to-sfnt.ts';
import { makeReport } from '../../src/report/make-report.ts';
import { growthRows, loadRows, paperRows, scenarioRows, testFolder, writeRows } from '../samples/sample-rows.ts';

const WOFF = createRequire(import.meta.url).resolve('@fontsource/arimo/files/arimo-latin-400-normal.woff');

describe('figures', () => {
  it.each([
    ['the paper', () => [paperRows({ repeats: 2 })], false],
    ['growth and load', () => [growthRows({ repeats: 2 }), loadRows({ repeats: 2 })], false],
    ['scenario runs', () => ['raw', 'tokenized', 'client-side'].map((mode) => scenarioRows(mode)), false],
    ['a comparison', () => [loadRows({ repeats: 2 }), loadRows({ repeats: 2, seed: 9 })], true],
    ['long names', () => [longNames(), longNames('another-run-with-a-name-that-goes-on-and-on')], false],
  ] as const)('of %s draw nothing outside their edges', async (_, runs, compare) => {
    const { figures } = await composeReport({ paths: runs().map((rows) => writeRows(rows)), compare });
    expect(figures.length).toBeGreaterThan(0);
    for (const { id, svg } of figures) {
      const drawn = new Resvg(svg.replace(/<rect width[^>]*\/>/, ''), { font: fonts() });
      const box = drawn.getBBox()!;
      expect(box.x, id).toBeGreaterThanOrEqual(0);
      expect(box.y, id).toBeGreaterThanOrEqual(0);
      expect(box.x + box.width, id).toBeLessThanOrEqual(drawn.width);
      expect(box.y + box.height, id).toBeLessThanOrEqual(drawn.height);
      expect(svg, id).not.toMatch(/NaN|Infinity|undefined/);
    }
  });

  it('tell variants apart by shape and dash', () => {
    const looks = [0, 1, 2, 3].map(lookAt);
    expect(new Set(looks.map(({ symbol }) => symbol)).size).toBe(4);
    expect(new Set(looks.map(({ dash }) => dash)).size).toBe(4);
  });

  it('stand out from light and dark ground', () => {
    for (const { surface, grid: _, ...colours } of [COLOURS, DARK_COLOURS]) {
      for (const [name, colour] of Object.entries(colours))
        expect(contrast(colour, surface), name).toBeGreaterThan(4.5);
    }
    expect(new Set(Object.values(COLOURS)).size).toBe(Object.keys(COLOURS).length);
  });

  it('break lines between words, within the width given', () => {
    const lines = wrapText('Tokenized context answers 2.8 % to 3.5 % sooner than raw text', 200, 18, true);
    expect(lines.length).toBeGreaterThan(2);
    expect(lines.join(' ')).toBe('Tokenized context answers 2.8 % to 3.5 % sooner than raw text');
  });
});

describe('PNG', () => {
  const svg = (text: string) =>
    `<svg xmlns="http://www.w3.org/2000/svg" width="80" height="20"><text y="15" font-family="No Such Font">${text}</text></svg>`;

  it('has letters, and is the same every time, without fonts of the machine', async () => {
    const painter = await PngPainter.create();
    const [empty, letters, again] = ['', 'Turn −9', 'Turn −9'].map((text) => painter.paint(svg(text)));
    expect(letters).not.toEqual(empty);
    expect(again).toEqual(letters);
    // The minus sign is a letter of the font, not the box of a missing one.
    expect(painter.paint(svg('−'))).not.toEqual(painter.paint(svg('\u{10ffff}')));
    painter.close();
  });

  it('leaves no font files behind', async () => {
    const count = () => readdirSync(tmpdir()).filter((name) => name.startsWith('discedge-fonts-')).length;
    const before = count();
    const painter = await PngPainter.create();
    expect(count()).toBe(before + 1);
    painter.close();
    expect(count()).toBe(before);
  });

  it('is written beside the page, for each figure, with the SVG', async () => {
    const folder = testFolder();
    const made = await makeReport({ paths: [writeRows(loadRows({ repeats: 2 }))], compare: false, folder });
    expect(made.withoutPng).toBeUndefined();
    expect(readdirSync(folder).sort()).toEqual(['index.html', 'parallel-users.png', 'parallel-users.svg']);
    const png = readFileSync(join(folder, 'parallel-users.png'));
    expect(png.subarray(1, 4).toString()).toBe('PNG');
    expect(png.readUInt32BE(16)).toBe(1784);
  });

  it('is not made of a missing or damaged font', () => {
    const woff = readFileSync(WOFF);
    expect(() => woffToSfnt(Buffer.from('no font'))).toThrow(/not a WOFF/);
    expect(woffToSfnt(woff).readUInt32BE(0)).toBe(0x00010000);
    const damaged = Buffer.from(woff);
    damaged.fill(0x5a, damaged.length / 2);
    expect(() => woffToSfnt(damaged)).toThrow();
  });
});

function longNames(run = 'a-run-with-a-name-that-goes-on-for-quite-a-while-20261121') {
  return paperRows({ repeats: 2, run }).map((row) =>
    row.kind === 'turn' && row.labels.part === 'roaming'
      ? {
          ...row,
          node: `${row.node}.edge.example`,
          labels: { ...row.labels, llm_service: `${row.labels.llm_service} on the roof` },
        }
      : row,
  );
}

function fonts() {
  const fontFile = join(testFolder(), 'arimo.ttf');
  writeFileSync(fontFile, woffToSfnt(readFileSync(WOFF)));
  return { loadSystemFonts: false, fontFiles: [fontFile], defaultFontFamily: 'Arimo' };
}

/** As the Web Content Accessibility Guidelines have it, from 1 to 21. */
function contrast(one: string, other: string): number {
  const light = (colour: string) => {
    const [r, g, b] = [1, 3, 5].map((at) => {
      const share = Number.parseInt(colour.slice(at, at + 2), 16) / 255;
      return share <= 0.03928 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    }) as [number, number, number];
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const [low, high] = [light(one), light(other)].sort((a, b) => a - b) as [number, number];
  return (high + 0.05) / (low + 0.05);
}
