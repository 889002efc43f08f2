#!/bin/sh
#SBATCH --job-name=driver-tests
#SBATCH --array=1-4
#SBATCH --cpus-per-task=2
#SBATCH --mem=4G
#SBATCH --time=00:30:00
exec deploy/part.sh
