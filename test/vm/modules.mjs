// What a kernel module says about itself. Debian's packages come without modules.dep, which depmod
// makes at installation, so the order of loading is read from the modules.

/**
 * The modules that a module needs, from its section .modinfo ("depends=a,b").
 * @param module bytes of an uncompressed .ko file
 * @returns names with underscores
 */
export function moduleDependencies(module) {
  const start = module.indexOf('\0depends=');
  if (start < 0) return [];
  const from = start + '\0depends='.length;
  const text = module.toString('latin1', from, module.indexOf('\0', from));
  return text
    .split(',')
    .filter((name) => name !== '')
    .map((name) => name.replaceAll('-', '_'));
}
