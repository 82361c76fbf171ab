export { type Parameters, requireKnown, unsupported, withParam } from '../../parameters.ts';
