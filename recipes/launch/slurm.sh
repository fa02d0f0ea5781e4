#!/usr/bin/env bash
# One fit on two nodes of four GPUs each: sbatch recipes/launch/slurm.sh dac/16khz_mste runs/mine
# Ranks, nodes and addresses are SLURM's; on requeue it goes on from the last checkpoint.
#SBATCH --job-name=qcodec
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --signal=SIGTERM@120
#SBATCH --requeue
set -euo pipefail
recipe=$1 run=$2
last=$run/checkpoints/last.ckpt
resume=()
[ -e "$last" ] && resume=(--ckpt_path "$last")
srun qcodec fit --config "$recipe" --run_dir "$run" "${resume[@]}" \
    --trainer.strategy ddp --trainer.num_nodes "$SLURM_NNODES" --trainer.devices "$SLURM_NTASKS_PER_NODE" "${@:3}"
