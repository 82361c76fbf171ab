export { type Parameters, requireKnown, unsupported } from '../../parameters.ts';
