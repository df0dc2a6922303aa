"""same_output.py PROGRAM PROGRAM...: all of them succeed and print the same, and not nothing."""
import subprocess
import sys

outputs = []
for program in sys.argv[1:]:
    done = subprocess.run([program], capture_output=True, text=True, timeout=60)
    outputs.append(done.stdout)
    if done.returncode or not done.stdout.strip():
        sys.exit(f"{program}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
if len(set(outputs)) != 1:
    sys.exit("\n".join(f"{program}:\n{output}" for program, output in zip(sys.argv[1:], outputs)))
