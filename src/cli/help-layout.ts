import type { AddHelpTextContext, Help } from 'commander';

/** A term longer than this has its description below, so that one long flag does not press all descriptions to the right. */
const TERM_COLUMNS_MAX = 34;
const INDENT = '  ';
/** Fewer columns than this are no paragraph. */
const TEXT_COLUMNS_MIN = 20;
const PARAGRAPH_COLUMNS = 80;

/**
 * Help as wide as the terminal it is read at. Where there is none, each description is one line, as `grep` wants it.
 */
export const HELP_LAYOUT: Partial<Help> = {
  // Commander leaves text unwrapped where it has fewer columns than this.
  minWidthToWrap: TEXT_COLUMNS_MIN,

  prepareContext(this: Help, { helpWidth }) {
    this.helpWidth = helpWidth ?? Number.POSITIVE_INFINITY;
  },

  formatItem(this: Help, term, termWidth, description) {
    if (description === '') return `${INDENT}${term}`;
    const helpWidth = this.helpWidth ?? Number.POSITIVE_INFINITY;
    const column = Math.min(termWidth, TERM_COLUMNS_MAX);
    const isBelow = this.displayWidth(term) > column && Number.isFinite(helpWidth);
    const textWidth = Math.max(helpWidth - column - 2 * INDENT.length, TEXT_COLUMNS_MIN);
    const [head = '', ...rest] = this.boxWrap(description, textWidth).split('\n');
    const under = rest.map((line) => ' '.repeat(column) + INDENT + line);
    const lines = isBelow
      ? [term, ' '.repeat(column) + INDENT + head, ...under]
      : [term.padEnd(column) + INDENT + head, ...under];
    return lines.map((line) => INDENT + line).join('\n');
  },
};

/** For `addHelpText`: a paragraph below the options, as wide as they are; of 80 columns where there is no terminal. */
export function paragraph(text: string): (context: AddHelpTextContext) => string {
  return ({ command }) => {
    const columns = command.configureOutput().getOutHelpWidth?.() ?? PARAGRAPH_COLUMNS;
    return `\n${command.createHelp().boxWrap(text, columns)}`;
  };
}
