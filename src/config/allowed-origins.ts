/** Any origin. */
const ANY = '*';

/** The origins of a list with commas, or what is wrong with it. Without a list there are none. */
export function readOrigins(
  list: string | undefined,
): { readonly origins: readonly string[] } | { readonly problem: string } {
  const origins = (list ?? '').split(',').map((entry) => entry.trim());
  const given = origins.filter((origin) => origin !== '');
  const wrong = given.find((origin) => origin !== ANY && !isOrigin(origin));
  if (wrong === undefined) return { origins: [...new Set(given)] };
  return {
    problem: `must list origins such as https://app.example or http://localhost:5173, or *, and "${wrong}" is none`,
  };
}

function isOrigin(text: string): boolean {
  return /^https?:\/\/[^*]+$/.test(text) && URL.canParse(text) && new URL(text).origin === text;
}
