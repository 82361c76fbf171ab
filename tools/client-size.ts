// npm run size:client: what the client SDK weighs in a page.
import { browserClient } from './browser-client.ts';

const { bytes, gzipBytes } = await browserClient();
console.log(`discedge/client for browsers: ${bytes} bytes minified, ${gzipBytes} bytes gzipped`);
